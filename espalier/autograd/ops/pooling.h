// SPDX-License-Identifier: Apache-2.0
/// Pooling over the planes of (N,C,H,W), in x's layout.
#pragma once

#include <espalier/autograd/variable.h>
#include <espalier/core/kernels/conv2d/conv2d.h>

namespace espalier {

/// Windows of a pooling op, as PyTorch's. Each number may be one for both dimensions or `{height,
/// width}`.
struct PoolOptions {
  Pair kernel = 2;    ///< size of the window
  Pair stride = 0;    ///< steps between windows; 0 means `kernel`
  Pair padding = 0;   ///< on every side, at most kernel/2
  Pair dilation = 1;  ///< distance of a window's values; max_pool2d only
  /// A last window that reaches beyond the padding is a window too, if it begins before it.
  bool ceil_mode = false;
  /// avg_pool2d: whether zeros of the padding count in the mean; what lies beyond it never does.
  bool count_include_pad = true;
  bool operator==(const PoolOptions&) const = default;
};

/// Largest value of each window; the first of equals gets the gradient. Padding never wins. Throws
/// ShapeError when a window holds no value of x, ValueError for options out of range.
Variable max_pool2d(const Variable& x, const PoolOptions& options = {});
/// Mean of each window. Throws as max_pool2d, and ValueError for a dilation.
Variable avg_pool2d(const Variable& x, const PoolOptions& options = {});
/// Mean over out_h x out_w windows that cover the plane: rows floor(i*H/out_h) ..
/// ceil((i+1)*H/out_h).
Variable adaptive_avg_pool2d(const Variable& x, int64_t out_h, int64_t out_w);

}  // namespace espalier
