// SPDX-License-Identifier: Apache-2.0
/// The kept values of a masked weight (or of its gradient or momentum) without the zeros between
/// them: one dimension, in the order of `Pattern::kept()`. They take space in proportion to the
/// weights that exist.
#pragma once

#include <espalier/core/tensor.h>
#include <espalier/sparse/pattern.h>

namespace espalier::sparse {

/// (nnz), contiguous: what `dense` holds at kept positions. Throws ShapeError for another shape
/// than the pattern's, TypeError unless float32 or float64.
Tensor kept_values(const Tensor& dense, const Pattern& pattern);

/// The plain contiguous tensor with `values` (nnz) at kept positions and 0 elsewhere. Throws
/// ShapeError unless there is one value for each kept position, TypeError unless float32 or
/// float64.
Tensor dense_from_kept(const Tensor& values, const Pattern& pattern);

/// Kept positions before `position`: the index of its value, if it is kept.
int32_t kept_before(const Pattern& pattern, int64_t position);

}  // namespace espalier::sparse
