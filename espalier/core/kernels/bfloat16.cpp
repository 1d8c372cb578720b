// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/bfloat16.h>

#include <bit>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kGrain = 1 << 15;

ESPALIER_INLINE uint16_t rounded(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  // The sum would carry a NaN's bits over into those of a number.
  const uint32_t quiet = (bits >> 16) | 0x40;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet : nearest);
}

ESPALIER_CLONES
void pack(const float* __restrict from, int64_t n, uint16_t* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] = rounded(from[i]);
}

ESPALIER_CLONES
void unpack(const uint16_t* __restrict from, int64_t n, float* __restrict to) {
  for (int64_t i = 0; i < n; ++i) {
    to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
  }
}

}  // namespace

void to_bfloat16(const float* from, int64_t n, uint16_t* to) {
  parallel_for(
      n, kGrain, [&](int64_t begin, int64_t end) { pack(from + begin, end - begin, to + begin); });
}

void from_bfloat16(const uint16_t* from, int64_t n, float* to) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    unpack(from + begin, end - begin, to + begin);
  });
}

}  // namespace espalier
