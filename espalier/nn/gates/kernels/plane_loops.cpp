// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/kernels/plane_loops.h>

#include <cmath>

#include <espalier/core/kernels/clones.h>

namespace espalier::nn::detail {
namespace {

constexpr int64_t kSums = 16;  // in a fixed order, whatever the width of vectors

// Comparisons with a NaN are false: it stays.
ESPALIER_INLINE float limited(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

}  // namespace

ESPALIER_CLONES float sum_of_magnitudes(const float* x, int64_t size) {
  float sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= size; i += kSums) {
    for (int64_t j = 0; j < kSums; ++j) sums[j] += std::fabs(x[i + j]);
  }
  float total = 0.0F;
  for (; i < size; ++i) total += std::fabs(x[i]);
  for (const float sum : sums) total += sum;
  return total;
}

ESPALIER_CLONES void add_scaled(const float* __restrict x,
                                float scale,
                                int64_t size,
                                float* __restrict y) {
  for (int64_t i = 0; i < size; ++i) y[i] += scale * x[i];
}

ESPALIER_CLONES void finish_plane(float* __restrict y,
                                  int64_t size,
                                  float scale,
                                  float shift,
                                  const float* __restrict residual,
                                  const espalier::detail::PlanesLimits& limits) {
  const float low = limits.low;
  const float high = limits.high;
  if (residual == nullptr) {
    for (int64_t i = 0; i < size; ++i) y[i] = limited(y[i] * scale + shift, low, high);
    return;
  }
  for (int64_t i = 0; i < size; ++i) {
    y[i] = limited(y[i] * scale + shift + residual[i], low, high);
  }
}

}  // namespace espalier::nn::detail
