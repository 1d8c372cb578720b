// SPDX-License-Identifier: Apache-2.0
/// Little-endian numbers and tensors out of raw bytes: what the file readers share.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>

#include <espalier/core/tensor.h>

namespace espalier::detail {

static_assert(std::endian::native == std::endian::little, "files are copied to memory as they are");

/// The little-endian unsigned number in `bytes` (at most 8 of them).
inline uint64_t little_endian(std::span<const uint8_t> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

/// rows * width bytes for the product of `sizes`; empty when that overflows, is beyond 2^46, or a
/// size is negative.
std::optional<int64_t> checked_nbytes(const Shape& shape, int64_t item);

/// A plain tensor that copies `bytes`, whose number must be what the shape needs.
Tensor tensor_from_bytes(const Shape& shape, DType dtype, std::span<const uint8_t> bytes);

/// float32 of an IEEE 754 half, and of a bfloat16.
float half_to_float(uint16_t bits);
inline float bfloat16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
/// The nearest bfloat16 of a float32, of two equally near the even one; a NaN stays one.
inline uint16_t float_to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  // The sum would carry a NaN's bits over into those of a number.
  const uint32_t quiet = (bits >> 16) | 0x40;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet : nearest);
}

}  // namespace espalier::detail
