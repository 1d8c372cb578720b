// SPDX-License-Identifier: Apache-2.0
// How a plan runs samples in planes, each by itself. Without gates a thread takes one after another
// through all steps, in the same memory, which so stays in its caches; those that don't divide by
// the threads run with the threads side by side in each step. With gates a group goes together
// through the steps that want it so.
#include <algorithm>
#include <array>
#include <atomic>

#include <espalier/nn/plan/program.h>

namespace espalier::nn {
namespace {

/// Where sample `n` begins in memory of either layout, and how far its floats are apart.
struct SamplePlace {
  SamplePlace(Layout layout, int64_t n, int64_t size)
      : first(layout == Layout::Nchw ? n * size : n / kLanes * kLanes * size + n % kLanes),
        step(layout == Layout::Nchw ? 1 : kLanes) {}
  int64_t first, step;
};

void take_sample(const float* x, const SamplePlace& place, int64_t size, float* out) {
  x += place.first;
  for (int64_t i = 0; i < size; ++i) out[i] = x[i * place.step];
}

void put_sample(const float* result, const SamplePlace& place, int64_t size, float* y) {
  y += place.first;
  for (int64_t i = 0; i < size; ++i) y[i * place.step] = result[i];
}

}  // namespace

int64_t InferencePlan::Program::run_planes(std::span<const plan::PlanesRun> runs) const {
  std::atomic<int64_t> macs{0};
  if (runs.size() == 1) {  // its steps have the threads for themselves
    for (const auto& kernel : planes_kernels) macs += kernel->run(runs[0]);
    return macs;
  }
  for (auto first = planes_kernels.begin(); first != planes_kernels.end();) {
    if ((*first)->side_by_side()) {
      macs += (*first)->run_each(runs);
      ++first;
      continue;
    }
    // Each sample through as many steps as it may go alone, while its values are in L2.
    const auto last = std::find_if(
        first, planes_kernels.end(), [&](const auto& kernel) { return kernel->side_by_side(); });
    parallel_for(static_cast<int64_t>(runs.size()), 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        for (auto kernel = first; kernel != last; ++kernel) {
          macs += (*kernel)->run(runs[static_cast<size_t>(i)]);
        }
      }
    });
    first = last;
  }
  return macs;
}

int64_t InferencePlan::Program::run_group(plan::Workspace& workspace,
                                          const plan::Call& call,
                                          const Group& group) const {
  const int64_t in_size = graph.value(0).shape.numel();
  const int64_t out_size = graph.value(graph.output).shape.numel();
  std::array<plan::PlanesRun, plan::kPlanesGroup> runs;
  for (int64_t i = 0; i < group.count; ++i) {
    plan::PlanesRun& run = runs[static_cast<size_t>(i)];
    run = planes_run(workspace, group.place + i, group.slots);
    take_sample(call.x, SamplePlace(call.x_layout, group.first + i, in_size), in_size, run.at(0));
  }
  const int64_t executed = run_planes({runs.data(), static_cast<size_t>(group.count)});
  for (int64_t i = 0; i < group.count; ++i) {
    put_sample(runs[static_cast<size_t>(i)].at(graph.output),
               SamplePlace(call.y_layout, group.first + i, out_size),
               out_size,
               call.y);
  }
  return executed;
}

int64_t InferencePlan::Program::run_in_planes(plan::Workspace& workspace,
                                              const plan::Call& call) const {
  const int64_t slots = workspace.slots;
  const int64_t alone =
      arenas(slots) >= slots && group == 1 ? call.samples - call.samples % slots : 0;
  std::atomic<int64_t> executed{0};
  espalier::detail::Shares shares(alone, slots);
  parallel_for(std::min(alone, slots), 1, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      shares.drain(slot, [&](int64_t sample) {
        executed +=
            run_group(workspace, call, {.first = sample, .count = 1, .place = slot, .slots = 1});
      });
    }
  });
  for (int64_t first = alone; first < call.samples; first += group) {
    const int64_t count = std::min(group, call.samples - first);
    executed +=
        run_group(workspace,
                  call,
                  {.first = first, .count = count, .place = 0, .slots = count == 1 ? slots : 1});
  }
  return executed;
}

}  // namespace espalier::nn
