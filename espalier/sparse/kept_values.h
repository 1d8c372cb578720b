// SPDX-License-Identifier: Apache-2.0
/// The kept values of a masked weight (or of its gradient or momentum) without the zeros between
/// them: one dimension, in the order of `Support::kept()`. They take space in proportion to the
/// weights that exist.
#pragma once

#include <vector>

#include <espalier/core/tensor.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse {

/// (nnz), contiguous: what `dense` holds at kept positions. Throws ShapeError for another shape
/// than the support's, TypeError unless float32 or float64.
Tensor kept_values(const Tensor& dense, const Support& support);

/// The plain contiguous tensor with `values` (nnz) at kept positions and 0 elsewhere. Throws
/// ShapeError unless there is one value for each kept position, TypeError unless float32 or
/// float64.
Tensor dense_from_kept(const Tensor& values, const Support& support);

/// (ranks.size()): value number ranks[i] at place i, and 0 for -1: how kept values come in the
/// order of a format or a kernel. `values` is contiguous, of one dimension, float32 or float64;
/// throws TypeError otherwise.
Tensor gather_values(const Tensor& values, const std::vector<int32_t>& ranks);

}  // namespace espalier::sparse
