// SPDX-License-Identifier: Apache-2.0
/// Scores and repairs compute in float64, on plain copies.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// The plain contiguous float64 copy of a tensor.
Tensor as_double(const Tensor& tensor);

}  // namespace espalier::prune
