// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/plane_loops.h>

#include <cmath>

#include <espalier/core/kernels/clones.h>

namespace espalier::nn::detail {
namespace {

constexpr int64_t kSums = 16;  // in a fixed order, whatever the width of vectors

template <bool kResidual, bool kRelu>
ESPALIER_INLINE void finish_loop(
    float* __restrict y, int64_t size, float scale, float shift, const float* __restrict residual) {
  for (int64_t i = 0; i < size; ++i) {
    float value = y[i] * scale + shift;
    if constexpr (kResidual) value += residual[i];
    if constexpr (kRelu) value = value < 0.0F ? 0.0F : value;
    y[i] = value;
  }
}

}  // namespace

ESPALIER_CLONES float copy_and_sum(const float* __restrict x, int64_t size, float* __restrict out) {
  float sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= size; i += kSums) {
    for (int64_t j = 0; j < kSums; ++j) {
      out[i + j] = x[i + j];
      sums[j] += std::fabs(x[i + j]);
    }
  }
  float total = 0.0F;
  for (; i < size; ++i) {
    out[i] = x[i];
    total += std::fabs(x[i]);
  }
  for (const float sum : sums) total += sum;
  return total;
}

ESPALIER_CLONES void finish_plane(
    float* y, int64_t size, float scale, float shift, const float* residual, bool relu) {
  if (residual != nullptr) {
    return relu ? finish_loop<true, true>(y, size, scale, shift, residual)
                : finish_loop<true, false>(y, size, scale, shift, residual);
  }
  return relu ? finish_loop<false, true>(y, size, scale, shift, nullptr)
              : finish_loop<false, false>(y, size, scale, shift, nullptr);
}

int64_t list_above(const float* y, int64_t size, float least, int32_t* positions) {
  int64_t count = 0;
  for (int64_t i = 0; i < size; ++i) {  // without a branch: decisions can't be foretold
    positions[count] = static_cast<int32_t>(i);
    count += y[i] >= least ? 1 : 0;
  }
  return count;
}

}  // namespace espalier::nn::detail
