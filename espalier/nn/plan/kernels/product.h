// SPDX-License-Identifier: Apache-2.0
/// What the product kernels share: their operands and counts. Not a public interface.
#pragma once

#include <espalier/nn/plan/kernels/epilogue.h>
#include <espalier/nn/plan/kernels/kernel.h>

namespace espalier::nn::plan {

/// A product's place in the graph, its bias and its epilogue.
class Product : public Kernel {
 public:
  Product(const Graph& graph, const Step& step)
      : x_(step.inputs[0]),
        residual_(step.inputs.size() > 1 ? step.inputs[1] : -1),
        y_(step.output),
        bias_(step.bias),
        epilogue_{step.limits, residual_ >= 0},
        shape_(product_shape(graph, step, 1)) {}

 protected:
  const float* bias() const { return bias_.defined() ? bias_.data<float>() : nullptr; }
  int64_t bias_bytes() const { return bias_.defined() ? bias_.nbytes() : 0; }
  const float* residual(const Run& run) const {
    return residual_ < 0 ? nullptr : run.read(residual_);
  }
  /// The epilogue on `positions` positions of all channels of one block of samples, from (row, col)
  /// on; they may reach over the ends of rows.
  void finish_run(
      const Run& run, int64_t block, int64_t row, int64_t col, int64_t positions) const {
    if (!epilogue_.any()) return;
    const int64_t plane = shape_.p * shape_.q * kLanes;
    const int64_t at = block * shape_.k * plane + (row * shape_.q + col) * kLanes;
    const float* added = residual(run);
    finish(epilogue_,
           added == nullptr ? nullptr : added + at,
           shape_.k,
           plane,
           positions,
           run.write(y_) + at);
  }
  /// The same on whole rows [first, last).
  void finish_rows(const Run& run, int64_t block, int64_t first, int64_t last) const {
    finish_run(run, block, first, 0, (last - first) * shape_.q);
  }

  int x_, residual_, y_;
  Tensor bias_;
  Epilogue epilogue_;
  Conv2dShape shape_;  ///< of one sample
};

}  // namespace espalier::nn::plan
