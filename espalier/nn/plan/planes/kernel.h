// SPDX-License-Identifier: Apache-2.0
/// Steps of a plan for few samples: one sample at a time, values in plain (C,H,W) memory, pixels in
/// the lanes. What kernels/kernel.h is for many. Not a public interface.
#pragma once

#include <algorithm>
#include <memory>
#include <span>

#include <espalier/core/kernels/conv2d/planes_input.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/plan/steps/graph.h>

namespace espalier::nn::plan {

/// Multiples of this many floats are where values begin: a line of the cache.
inline constexpr int64_t kPlanesGranule = 16;
/// Gated samples side by side at most: they share weights, and their values should not leave the
/// caches.
inline constexpr int64_t kPlanesGroup = 16;

/// The memory of one run.
struct PlanesRun {
  const MemoryPlan* memory;  ///< in floats, made with kPlanesGranule
  float* arena;              ///< with kPlanesSlack floats before and behind it
  float* scratch;            ///< shared by the tasks of a step, 64-byte aligned
  int64_t slots;             ///< tasks at a time

  float* at(int value) const { return arena + memory->offsets[static_cast<size_t>(value)]; }
};

/// Calls body(task) for all tasks. Steps with little `work` (products, or floats moved) stay in the
/// calling thread: waking another one takes longer. Tasks don't depend on each other, so that who
/// runs which changes no bits.
template <class Body>
void for_planes_tasks(const PlanesRun& run, int64_t tasks, int64_t work, Body body) {
  constexpr int64_t kLeastWork = 1 << 19;
  if (run.slots == 1 || work < kLeastWork) {
    for (int64_t task = 0; task < tasks; ++task) body(task);
    return;
  }
  parallel_for(tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) body(task);
  });
}

/// A step, ready to run on one sample.
class PlanesKernel {
 public:
  virtual ~PlanesKernel() = default;
  /// Returns the multiply-accumulates that it executed.
  virtual int64_t run(const PlanesRun& run) const = 0;
  /// Whether samples do better side by side in this step, with `run_each`, than one after another.
  virtual bool side_by_side() const { return false; }
  /// One run of each of 1 to kPlanesGroup, at once, on all threads; each has memory of its own and
  /// `slots` 1. Only where side_by_side() is true.
  virtual int64_t run_each(std::span<const PlanesRun> runs) const;
  /// What `run` returns; where a gate decides, what it returns at most.
  virtual int64_t macs() const { return 0; }
  /// Floats of scratch that it needs.
  virtual int64_t scratch_floats() const { return 0; }
  /// Bytes of weights and indices that it reads.
  virtual int64_t nbytes() const { return 0; }
  /// One word for the printed plan.
  virtual std::string_view format() const { return "-"; }
};

/// Dense products read the step's own weight, sparse ones their stream; a product keeps what it
/// needs of `step`.
std::unique_ptr<PlanesKernel> make_planes_product(const Graph& graph, const Step& step);
/// A product with a gate.
std::unique_ptr<PlanesKernel> make_planes_gated_product(const Graph& graph, const Step& step);
/// All other kinds of steps.
std::unique_ptr<PlanesKernel> make_planes_elementwise(const Graph& graph, const Step& step);
std::unique_ptr<PlanesKernel> make_planes_pool(const Graph& graph, const Step& step);
std::unique_ptr<PlanesKernel> make_planes_copy(const Graph& graph, const Step& step);
std::unique_ptr<PlanesKernel> make_planes_decision(const Graph& graph, const Step& step);
/// An op of autograd; its runs take memory.
std::unique_ptr<PlanesKernel> make_planes_plain(const Step& step);
/// `kernel`, which is that of the step; where the step's guard or join is closed, what is to be
/// done then.
std::unique_ptr<PlanesKernel> make_planes_guarded(const Graph& graph,
                                                  const Step& step,
                                                  std::unique_ptr<PlanesKernel> kernel);
/// y = limited(x), `count` numbers; y may be x.
void limit_planes(const float* x, const Limits& limits, int64_t count, float* y);
/// The kernel of any step.
std::unique_ptr<PlanesKernel> make_planes_kernel(const Graph& graph, const Step& step);

}  // namespace espalier::nn::plan
