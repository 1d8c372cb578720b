// SPDX-License-Identifier: Apache-2.0
/// What products on one sample have in common. Not a public interface.
#pragma once

#include <espalier/core/kernels/conv2d/planes.h>
#include <espalier/nn/plan/planes/kernel.h>

namespace espalier::nn::plan {

/// Where a product reads and writes, and how its results end.
class PlanesProduct : public PlanesKernel {
 public:
  PlanesProduct(const Graph& graph, const Step& step)
      : x_(step.inputs[0]),
        residual_(step.inputs.size() > 1 ? step.inputs[1] : -1),
        y_(step.output),
        limits_{step.limits.low, step.limits.high},
        bias_(step.bias),
        shape_(product_shape(graph, step, 1)) {}

 protected:
  const float* bias() const { return bias_.defined() ? bias_.data<float>() : nullptr; }
  const float* residual(const PlanesRun& run) const {
    return residual_ < 0 ? nullptr : run.at(residual_);
  }
  espalier::detail::PlanesOperands operands(const PlanesRun& run, const float* weight) const {
    return {.x = run.at(x_),
            .weight = weight,
            .bias = bias(),
            .residual = residual(run),
            .y = run.at(y_),
            .limits = limits_};
  }
  int64_t input_floats() const { return shape_.c * shape_.h * shape_.w; }

  int x_, residual_, y_;
  espalier::detail::PlanesLimits limits_;
  Tensor bias_;
  Conv2dShape shape_;
};

}  // namespace espalier::nn::plan
