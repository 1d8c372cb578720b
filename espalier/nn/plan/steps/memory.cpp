// SPDX-License-Identifier: Apache-2.0
// plan_memory: storages get places in one block of memory, largest first, each at the lowest offset
// that is free while it lives (the greedy-by-size rule; Pisarchyk, Lee 2020, arXiv:2001.03288).
#include <algorithm>
#include <numeric>

#include <espalier/nn/plan/steps/graph.h>

namespace espalier::nn::plan {
namespace {

/// When a storage is written first and read last, in steps; the input before all of them.
struct Life {
  int64_t size = 0;
  int begin = -1;
  int end = -1;
  bool used = false;
  bool meets(const Life& other) const { return begin <= other.end && other.begin <= end; }
};

bool elementwise(const Step& step) {
  return step.kind == StepKind::Affine || step.kind == StepKind::Add ||
         step.kind == StepKind::Clamp;
}

/// The inputs in whose place the step may write its output, the best first, if nobody needs them
/// any more.
std::vector<int> places(const Step& step) {
  if (step.join < 0)
    return elementwise(step) ? std::vector<int>{step.inputs[0]} : std::vector<int>{};
  if (step.kind == StepKind::Add) return {step.inputs[1], step.inputs[0]};
  // Products read a residual where they write, and only there.
  if (step.gate.kind == GateKind::None) return {step.inputs[1]};
  return {};
}

}  // namespace

MemoryPlan plan_memory(const Graph& graph, int64_t granule) {
  const size_t count = graph.values.size();
  const auto steps = static_cast<int>(graph.steps.size());
  std::vector<size_t> root(count);  // of a value: the storage whose memory it uses
  for (size_t v = 0; v < count; ++v) root[v] = static_cast<size_t>(graph.values[v].storage);

  std::vector<Life> lives(count);
  const auto touch = [&](size_t storage, int step) {
    Life& life = lives[storage];
    life.size = (graph.values[storage].shape.numel() + granule - 1) / granule * granule;
    if (!life.used) life.begin = step;
    life.used = true;
    life.end = std::max(life.end, step);
  };
  touch(0, -1);
  touch(0, steps);
  for (int s = 0; s < steps; ++s) {
    const Step& step = graph.steps[static_cast<size_t>(s)];
    for (const int input : step.inputs) touch(root[static_cast<size_t>(input)], s);
    for (const int decision : {step.guard, step.join}) {
      if (decision >= 0) touch(root[static_cast<size_t>(decision)], s);
    }
    touch(root[static_cast<size_t>(step.output)], s);
  }
  touch(root[static_cast<size_t>(graph.output)], steps);

  for (int s = 0; s < steps; ++s) {
    const Step& step = graph.steps[static_cast<size_t>(s)];
    const size_t to = root[static_cast<size_t>(step.output)];
    for (const int place : places(step)) {
      const size_t from = root[static_cast<size_t>(place)];
      const bool also_x =
          step.kind == StepKind::Product && root[static_cast<size_t>(step.inputs[0])] == from;
      if (from == 0 || also_x || lives[from].end != s) continue;
      lives[from].end = lives[to].end;
      lives[to].used = false;
      std::replace(root.begin(), root.end(), to, from);
      break;
    }
  }

  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return lives[a].size > lives[b].size;
  });
  MemoryPlan plan;
  std::vector<int64_t> place(count, 0);
  std::vector<size_t> placed;
  for (const size_t storage : order) {
    const Life& life = lives[storage];
    if (!life.used) continue;
    std::vector<size_t> neighbours;
    for (const size_t other : placed) {
      if (life.meets(lives[other])) neighbours.push_back(other);
    }
    std::sort(neighbours.begin(), neighbours.end(), [&](size_t a, size_t b) {
      return place[a] < place[b];
    });
    int64_t at = 0;
    for (const size_t other : neighbours) {
      if (at + life.size <= place[other]) break;
      at = std::max(at, place[other] + lives[other].size);
    }
    place[storage] = at;
    plan.size = std::max(plan.size, at + life.size);
    placed.push_back(storage);
  }
  for (size_t v = 0; v < count; ++v) plan.offsets.push_back(place[root[v]]);
  return plan;
}

}  // namespace espalier::nn::plan
