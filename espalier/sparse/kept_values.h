// SPDX-License-Identifier: Apache-2.0
/// The kept values of a masked weight (or of its gradient or momentum) without the zeros between
/// them: one dimension, in the order of `Support::kept()`. They take space in proportion to the
/// weights that exist.
#pragma once

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

/// Kept positions before `position`: the index of its value, if it is kept.
int32_t kept_before(const Support& support, int64_t position);

}  // namespace espalier::sparse
