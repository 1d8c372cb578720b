// SPDX-License-Identifier: Apache-2.0
/// What every step of a plan becomes: an object that is ready to run on raw memory, allocates
/// nothing and may run in several threads at once. Values are [block][position][16 samples], as
/// `Nchw16n` tensors are; lanes beyond the batch hold numbers that nobody reads. Not a public
/// interface.
#pragma once

#include <memory>

#include <espalier/core/parallel.h>
#include <espalier/core/shares.h>
#include <espalier/nn/plan/steps/graph.h>

namespace espalier::nn::plan {

/// The memory of one run.
struct Run {
  const Graph* graph;
  const MemoryPlan* memory;
  const float* input;  ///< value 0, which is not written
  float* arena;
  int64_t samples;  ///< the last lanes of the last block may have none
  int64_t blocks;   ///< of 16 samples
  float* scratch;   ///< of `slots` tasks, `scratch_stride` floats each
  int64_t scratch_stride;
  int64_t slots;
  float* shared;  ///< `shared_floats` of the step, 64-byte aligned

  const float* read(int value) const {
    return graph->value(value).storage == 0 ? input : write(value);
  }
  float* write(int value) const {
    return arena + memory->offsets[static_cast<size_t>(value)] * kLanes * blocks;
  }
};

/// Calls body(task, scratch) for all tasks, at most `run.slots` at a time, each with a scratch of
/// its own. Tasks must not depend on each other, so that who runs which changes no bits; they
/// follow the samples where they can, so that a thread meets its own again.
template <class Body>
void for_tasks(const Run& run, int64_t tasks, Body body) {
  espalier::detail::Shares shares(tasks, run.slots);
  parallel_for(shares.count(), 1, [&](int64_t first, int64_t last) {
    for (int64_t slot = first; slot < last; ++slot) {
      shares.drain(slot,
                   [&](int64_t task) { body(task, run.scratch + slot * run.scratch_stride); });
    }
  });
}

/// A step, ready to run.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const Run& run) const = 0;
  /// Multiply-accumulates that the run did which just ended.
  virtual int64_t executed(const Run& run) const { return run.samples * macs(); }
  /// Floats that the tasks of a run on so many blocks share.
  virtual int64_t shared_floats(int64_t /*blocks*/) const { return 0; }
  /// Floats of scratch that a task needs.
  virtual int64_t scratch_floats() const { return 0; }
  /// Bytes of weights, indices and constants that it reads.
  virtual int64_t nbytes() const { return 0; }
  /// Multiply-accumulates that it performs for a sample; where a gate decides, at most.
  virtual int64_t macs() const { return 0; }
  /// One word for the printed plan.
  virtual std::string_view format() const { return "-"; }
};

/// Dense product: weights packed once for the register tiles of core/kernels/conv2d/micro.h.
/// `blocks` is the most that will run at once; it decides how planes are cut.
std::unique_ptr<Kernel> make_dense_convolution(const Graph& graph,
                                               const Step& step,
                                               int64_t blocks);
/// Depthwise product, for shapes that core's `is_depthwise` accepts.
std::unique_ptr<Kernel> make_depthwise_convolution(const Graph& graph, const Step& step);
/// The same by Winograd's F(2x2, 3x3), for shapes that core's `winograd_fits` accepts.
std::unique_ptr<Kernel> make_winograd_convolution(const Graph& graph,
                                                  const Step& step,
                                                  int64_t blocks);
/// Dense product over planes of one position: blocks of samples stand in the place of positions.
std::unique_ptr<Kernel> make_dense_linear(const Graph& graph, const Step& step);
/// Unstructured sparse product by the kernels of sparse/kernels/conv2d_micro.h.
std::unique_ptr<Kernel> make_sparse_product(const Graph& graph, const Step& step, int64_t blocks);
/// Dense product of channels that a gate chooses (nn/gates/channel_gate.h): sixteen samples, or a
/// few times as many, compute what any of them chose; each keeps its own choice.
std::unique_ptr<Kernel> make_gated_convolution(const Graph& graph,
                                               const Step& step,
                                               int64_t blocks);
/// All other kinds of steps.
std::unique_ptr<Kernel> make_elementwise(const Graph& graph, const Step& step);
std::unique_ptr<Kernel> make_pool(const Graph& graph, const Step& step);
std::unique_ptr<Kernel> make_copy(const Graph& graph, const Step& step);

}  // namespace espalier::nn::plan
