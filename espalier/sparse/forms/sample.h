// SPDX-License-Identifier: Apache-2.0
/// Masks that forms make their samples of. Not a public interface.
#pragma once

#include <cstdint>

#include <espalier/core/tensor.h>

namespace espalier::sparse::detail {

/// uint8 for a weight (K,C,R,S): kept with probability `density`; runs of `channels` output
/// channels decide together.
Tensor random_mask(const Shape& weight, double density, int64_t channels, uint64_t seed);

}  // namespace espalier::sparse::detail
