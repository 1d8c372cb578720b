// SPDX-License-Identifier: Apache-2.0
/// Depthwise convolution: every channel has its own 3x3 kernel, padding 1, stride 1 or 2, as in
/// MobileNetV2. Float32, in lanes of samples (three directions) and in planes of one sample. There
/// is as little arithmetic as data, so nothing is copied or padded: rows beyond a plane are a row
/// of zeros, columns beyond it are left out. Not a public interface.
#pragma once

#include <espalier/core/kernels/conv2d/depthwise_micro.h>
#include <espalier/core/kernels/conv2d/planes.h>

namespace espalier::detail {

/// Whether the kernels below serve this shape.
bool is_depthwise(const Conv2dShape& shape);

/// The three directions of conv2d.h for tensors in `Nchw16n` (weight and bias plain). The gradient
/// of the weight adds fewer than 2048 positions (or a row) and their lanes in float32, these sums
/// in float64, in the samples' order.
void conv2d_forward_depthwise(
    const Conv2dShape& shape, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void conv2d_backward_data_depthwise(const Conv2dShape& shape,
                                    const Tensor& dy,
                                    const Tensor& weight,
                                    Tensor& dx);
void conv2d_backward_weight_depthwise(const Conv2dShape& shape,
                                      const Tensor& x,
                                      const Tensor& dy,
                                      Tensor& dweight);

/// The convolution in pieces, ready to run: a task is some channels of a sample (`planes`), or of a
/// block of 16 (`lanes`). Thread-safe, and allocates nothing after its construction.
class DepthwiseTasks {
 public:
  /// `lanes`: whether a position is 16 samples or one.
  DepthwiseTasks(const Conv2dShape& shape, bool lanes);

  /// Tasks of a sample or block.
  int64_t tasks() const { return tasks_; }
  /// Operands begin with the sample or block; in planes its x is read up to kPlanesSlack floats
  /// before and behind.
  void run(int64_t task, const PlanesOperands& operands) const;

 private:
  Conv2dShape shape_;
  int64_t position_;  // floats
  int64_t channels_;  // of a task
  int64_t tasks_;
  Tensor zeros_;
  void (*kernel_)(const DepthwiseJob& job);
};

}  // namespace espalier::detail
