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

}  // namespace espalier::detail
