// SPDX-License-Identifier: Apache-2.0
/// bfloat16: the upper half of a float32, so its range with 8 bits of precision.
#pragma once

#include <cstdint>

namespace espalier {

/// Rounds n float32 to the nearest bfloat16, of two equally near to the even one, with the same
/// bits on every machine: the relative error is at most 2^-8 above the smallest normal number.
/// Beyond the largest finite value it is infinity; a NaN stays one. `to` must not overlap `from`.
void to_bfloat16(const float* from, int64_t n, uint16_t* to);

/// The float32 that n bfloat16 are, exactly. `to` must not overlap `from`.
void from_bfloat16(const uint16_t* from, int64_t n, float* to);

}  // namespace espalier
