// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/bfloat16.h>

#include <espalier/core/detail/bytes.h>
#include <espalier/core/kernels/clones.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kGrain = 1 << 15;

ESPALIER_CLONES
void pack(const float* __restrict from, int64_t n, uint16_t* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] = detail::float_to_bfloat16(from[i]);
}

ESPALIER_CLONES
void unpack(const uint16_t* __restrict from, int64_t n, float* __restrict to) {
  for (int64_t i = 0; i < n; ++i) {
    to[i] = detail::bfloat16_to_float(from[i]);
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
