// SPDX-License-Identifier: Apache-2.0
/// Sums over dimensions, in a fixed order and in float64, for both layouts. Not differentiable
/// here; see autograd/ops/reduction.h.
#pragma once

#include <vector>

#include <espalier/core/tensor.h>

namespace espalier {

/// Sum of `a` (float32 or float64) over the dimensions d with `over[d]`. With `keepdim` these stay
/// with size 1. The result is `Nchw16n` when `a` is and dimension 0 is kept, plain otherwise.
/// Threads  outputs, or fixed chunks of the reduced range; bits don't depend on the thread count.
Tensor reduce_sum(const Tensor& a, const std::vector<bool>& over, bool keepdim);

}  // namespace espalier
