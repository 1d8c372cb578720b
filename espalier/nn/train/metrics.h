// SPDX-License-Identifier: Apache-2.0
/// Counts over predictions.
#pragma once

#include <cstdint>

#include <espalier/core/tensor.h>

namespace espalier::nn {

/// How many rows of `logits` (N,C; float32 or float64, any layout) have their largest value (the
/// first of equals) at `labels` (int64, N). Throws ShapeError, TypeError.
int64_t count_correct(const Tensor& logits, const Tensor& labels);

}  // namespace espalier::nn
