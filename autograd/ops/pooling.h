// SPDX-License-Identifier: Apache-2.0
/// Pooling over the planes of (N,C,H,W), in x's layout.
#pragma once

#include <espalier/autograd/variable.h>

namespace espalier {

/// Window of a pooling op. stride 0 means `kernel`. Padding is at most kernel/2.
struct PoolOptions {
  int64_t kernel = 2;   ///< side of the window
  int64_t stride = 0;   ///< steps between windows; 0 means `kernel`
  int64_t padding = 0;  ///< on every side, at most kernel/2
};

/// Largest value of each window; the first of equals gets the gradient. Padding never wins.
Variable max_pool2d(const Variable& x, const PoolOptions& options = {});
/// Mean of each window; padding counts as zeros in the mean (count_include_pad).
Variable avg_pool2d(const Variable& x, const PoolOptions& options = {});
/// Mean over out_h x out_w windows that cover the plane: rows floor(i*H/out_h) ..
/// ceil((i+1)*H/out_h).
Variable adaptive_avg_pool2d(const Variable& x, int64_t out_h, int64_t out_w);

}  // namespace espalier
