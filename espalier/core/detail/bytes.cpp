// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/bytes.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace espalier::detail {

std::optional<int64_t> checked_nbytes(const Shape& shape, int64_t item) {
  constexpr int64_t kMost = int64_t{1} << 46;
  int64_t bytes = item;
  bool empty = false;
  for (int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    // Sizes next to a zero are bounded too: (0, 2^62) is as hostile as (1, 2^62).
    if (size > kMost) return std::nullopt;
    if (size != 0 && __builtin_mul_overflow(bytes, size, &bytes)) return std::nullopt;
    if (bytes > kMost) return std::nullopt;
  }
  return empty ? 0 : bytes;
}

Tensor tensor_from_bytes(const Shape& shape, DType dtype, std::span<const uint8_t> bytes) {
  Tensor out = Tensor::empty(shape, dtype);
  ESPALIER_CHECK(out.nbytes() == static_cast<int64_t>(bytes.size()),
                 ShapeError,
                 "tensor from bytes: ",
                 out,
                 " needs ",
                 out.nbytes(),
                 " bytes, got ",
                 bytes.size());
  if (!bytes.empty()) std::memcpy(out.raw(), bytes.data(), bytes.size());
  return out;
}

float half_to_float(uint16_t bits) {
  const bool negative = (bits & 0x8000u) != 0;
  const int exponent = (bits >> 10) & 0x1f;
  const int mantissa = bits & 0x3ff;
  float value = 0.0f;
  if (exponent == 0x1f) {
    value = mantissa == 0 ? std::numeric_limits<float>::infinity()
                          : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    value = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return negative ? -value : value;
}

}  // namespace espalier::detail
