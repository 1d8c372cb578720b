// SPDX-License-Identifier: Apache-2.0
// How a plan runs many samples: sixteen in the lanes. Steps that move more activations than weights
// come first in most networks: there a thread takes a block of sixteen through all of them, so that
// what a layer writes is in the caches of who reads it next. Layer by layer on all threads it would
// often lie in another core's, whose lines come several times as late where the cores share no
// cache. From the first step on that moves more weights all run together, layer by layer, so that
// these are read once; so do blocks that don't divide by the threads.
#include <algorithm>
#include <atomic>

#include <espalier/nn/plan/program.h>

namespace espalier::nn {
namespace {

using plan::Call;
using plan::LanesPart;

// Positions that one task converts between layouts.
constexpr int64_t kConvertGrain = 1024;
// A step moves more weights than activations from this share of a block's on; what L2 holds beside
// activations is read quickly at any rate.
constexpr int64_t kWeightsShare = 2;
constexpr int64_t kFewWeights = 512 << 10;

/// Calls body(i) for i below n, on all threads if the part has several slots.
template <class Body>
void for_each(const LanesPart& part, int64_t n, Body body) {
  const int64_t grain = part.slots > 1 ? 1 : std::max<int64_t>(1, n);
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

/// The part's plain samples [n][size] to [block][size][16], zeros for lanes without a sample.
void to_lanes(const Call& call, const LanesPart& part, int64_t size, float* out) {
  const int64_t parts = (size + kConvertGrain - 1) / kConvertGrain;
  for_each(part, part.blocks * parts, [&](int64_t task) {
    const int64_t block = task / parts;
    const int64_t first = task % parts * kConvertGrain;
    const int64_t last = std::min(size, first + kConvertGrain);
    float* y = out + block * size * kLanes;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const int64_t sample = (part.first + block) * kLanes + lane;
      const float* from = call.x + sample * size;
      for (int64_t i = first; i < last; ++i) {
        y[i * kLanes + lane] = sample < call.samples ? from[i] : 0.0f;
      }
    }
  });
}

void from_lanes(const float* x, const Call& call, const LanesPart& part, int64_t size) {
  for_each(part, part.blocks, [&](int64_t block) {
    const int64_t first = (part.first + block) * kLanes;
    for (int64_t lane = 0; lane < std::min(kLanes, call.samples - first); ++lane) {
      const float* from = x + block * size * kLanes + lane;
      float* y = call.y + (first + lane) * size;
      for (int64_t i = 0; i < size; ++i) y[i] = from[i * kLanes];
    }
  });
}

}  // namespace

int64_t InferencePlan::Program::run_part(const Call& call,
                                         const LanesPart& part,
                                         const Range& range) const {
  const int64_t in_size = graph.value(0).shape.numel();
  const int64_t out_size = graph.value(graph.output).shape.numel();
  const int64_t first = part.first * kLanes;
  plan::Run run{.graph = &graph,
                .memory = &memory,
                .input = call.x + first * in_size,
                .arena = part.arena,
                .samples = std::min(part.blocks * kLanes, call.samples - first),
                .blocks = part.blocks,
                .scratch = part.scratch,
                .scratch_stride = task_floats,
                .slots = part.slots,
                .shared = part.scratch + part.slots * task_floats};
  if (range.first == 0 && call.x_layout == Layout::Nchw) {
    float* lanes = run.write(0);
    to_lanes(call, part, in_size, lanes);
    run.input = lanes;
  }
  int64_t executed = 0;
  for (size_t step = range.first; step < range.last; ++step) {
    kernels[step]->run(run);
    executed += kernels[step]->executed(run);
  }
  if (range.last < kernels.size()) return executed;
  const float* result = run.read(graph.output);
  if (call.y_layout == Layout::Nchw) {
    from_lanes(result, call, part, out_size);
  } else {
    // Whole blocks of 16: offsets in both layouts are the same.
    std::copy_n(result, part.blocks * out_size * kLanes, call.y + first * out_size);
  }
  return executed;
}

size_t InferencePlan::Program::kept_steps() const {
  // Blocks with gates of channels compute together what any of them opened: who runs beside whom
  // must not depend on the threads.
  if (is_gated(graph)) return 0;
  size_t step = 0;
  for (; step < kernels.size(); ++step) {
    const plan::Step& made = graph.steps[step];
    int64_t activations = graph.value(made.output).shape.numel();
    for (const int input : made.inputs) activations += graph.value(input).shape.numel();
    const int64_t weights = kernels[step]->nbytes();
    if (weights > kFewWeights &&
        weights > kWeightsShare * activations * kLanes * int64_t{sizeof(float)}) {
      break;
    }
  }
  if (step == kernels.size()) return step;
  for (size_t later = step; later < kernels.size(); ++later) {
    for (const int input : graph.steps[later].inputs) {
      if (graph.value(input).storage == 0) return 0;  // it lies with the caller
    }
  }
  return step;
}

std::vector<int> InferencePlan::Program::crossing_values(size_t step) const {
  std::vector<int> out;
  const auto made_before = [&](int value) {
    const auto first = graph.steps.begin();
    return std::any_of(first, first + static_cast<ptrdiff_t>(step), [&](const plan::Step& made) {
      return graph.value(made.output).storage == graph.value(value).storage;
    });
  };
  const auto add = [&](int value) {
    const bool known = std::any_of(out.begin(), out.end(), [&](int other) {
      return graph.value(other).storage == graph.value(value).storage;
    });
    if (!known && made_before(value)) out.push_back(value);
  };
  for (size_t later = step; later < graph.steps.size(); ++later) {
    for (const int input : graph.steps[later].inputs) add(input);
  }
  if (step < graph.steps.size()) add(graph.output);
  return out;
}

void InferencePlan::Program::copy_crossing(const float* one,
                                           int64_t block,
                                           const LanesPart& to) const {
  for (const int value : crossing) {
    const int64_t size = graph.value(value).shape.numel() * kLanes;
    const int64_t offset = memory.offsets[static_cast<size_t>(value)] * kLanes;
    std::copy_n(one + offset, size, to.arena + offset * to.blocks + block * size);
  }
}

int64_t InferencePlan::Program::run_lanes(plan::Workspace& workspace, const Call& call) const {
  const int64_t slots = workspace.slots;
  const int64_t size = memory.size * kLanes;  // of a block's values
  float* scratch = workspace.scratch.data<float>();
  float* own = workspace.arena.data<float>();           // a block's values, of each slot
  float* shared = own + (kept > 0 ? slots * size : 0);  // those of all blocks
  const int64_t all = lane_blocks(call.samples);
  std::atomic<int64_t> executed{0};
  for (int64_t first = 0; first < all; first += blocks) {
    const int64_t count = std::min(blocks, all - first);
    const int64_t alone = kept > 0 ? count - count % slots : 0;
    const LanesPart together{
        .first = first, .blocks = alone, .arena = shared, .scratch = scratch, .slots = slots};
    espalier::detail::Shares shares(alone, slots);
    parallel_for(std::min(alone, slots), 1, [&](int64_t begin, int64_t end) {
      for (int64_t slot = begin; slot < end; ++slot) {
        shares.drain(slot, [&](int64_t block) {
          const LanesPart part{.first = first + block,
                               .blocks = 1,
                               .arena = own + slot * size,
                               .scratch = scratch + slot * task_floats,
                               .slots = 1};
          executed += run_part(call, part, {0, kept});
          copy_crossing(part.arena, block, together);
        });
      }
    });
    if (alone > 0 && kept < kernels.size()) {
      executed += run_part(call, together, {kept, kernels.size()});
    }
    if (alone == count) continue;
    LanesPart rest = together;
    rest.first += alone;
    rest.blocks = count - alone;
    executed += run_part(call, rest, {0, kernels.size()});
  }
  return executed;
}

}  // namespace espalier::nn
