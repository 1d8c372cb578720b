// SPDX-License-Identifier: Apache-2.0
/// A forward convolution with kept weights, made ready: its plan, and indices and values in the
/// order in which the kernel of their form uses them. Not a public interface.
#pragma once

#include <cstdint>
#include <memory>

#include <espalier/core/tensor.h>
#include <espalier/sparse/kernels/conv2d_plan.h>
#include <espalier/sparse/kernels/tile.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse::detail {

/// What a run reads and writes, [block of samples][channel][position][16]; `bias` may be null.
struct ForwardOperands {
  MappedFloats in;
  const float* bias;
  float* out;
  bool read_soon = false;  ///< `out` stays in the caches whatever its size
};

struct KernelForm;

/// Weights in one of the forms (form.h) with its kernel.
class PreparedForward {
 public:
  virtual ~PreparedForward() = default;
  PreparedForward(const PreparedForward&) = delete;
  PreparedForward& operator=(const PreparedForward&) = delete;

  /// For the number of blocks of samples that this was made for.
  const ConvPlan& plan() const { return plan_; }
  /// Runs a task of `plan`, which is plan() or the same for fewer blocks; `scratch` has
  /// plan.scratch_size() floats.
  void run_task(const ConvPlan& plan,
                int64_t task,
                const ForwardOperands& operands,
                float* scratch) const;
  /// All tasks of plan(), in parallel.
  void run(const ForwardOperands& operands) const;

  /// Of values and indices.
  virtual int64_t nbytes() const = 0;
  /// The form of the list that this is.
  virtual const KernelForm& form() const = 0;

 protected:
  explicit PreparedForward(ConvPlan plan) : plan_(std::move(plan)) {}

 private:
  /// All output channels of a tile, with the weights of one block of input channels.
  virtual void run_call(const TileJob& tile, const ConvPlan::Call& call) const = 0;

  ConvPlan plan_;
};

}  // namespace espalier::sparse::detail
