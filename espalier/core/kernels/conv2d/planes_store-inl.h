// SPDX-License-Identifier: Apache-2.0
/// How sums of a planes kernel become results: factor, residual, limits, and the end of a plane.
/// Included once for every SIMD target. Not a public interface.
#if defined(ESPALIER_CORE_KERNELS_PLANES_STORE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_CORE_KERNELS_PLANES_STORE_INL_H_
#undef ESPALIER_CORE_KERNELS_PLANES_STORE_INL_H_
#else
#define ESPALIER_CORE_KERNELS_PLANES_STORE_INL_H_
#endif

#include <espalier/core/kernels/conv2d/planes_micro.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 16 pixels are one vector of AVX-512, two of AVX2, four of SSE: a tile runs once for each of them.
using PlanesD = hn::CappedTag<float, kPlanesVector>;
using PlanesV = hn::Vec<PlanesD>;
constexpr int64_t kPlanesLanes = hn::MaxLanes(PlanesD());

/// One channel's results.
struct PlanesStore {
  float* y;
  const float* residual;
  PlanesLimits limits;
  float factor = 1.0f;

  HWY_INLINE PlanesV finished(PlanesV v) const {
    const PlanesD d;
    const PlanesV low = hn::Set(d, limits.low);
    const PlanesV high = hn::Set(d, limits.high);
    // Comparisons with a NaN are false: it stays.
    v = hn::IfThenElse(hn::Lt(v, low), low, v);
    return hn::IfThenElse(hn::Gt(v, high), high, v);
  }
  /// Stores the sums of the first `count` positions at `at`; any count below 1 stores nothing.
  HWY_INLINE void put(PlanesV v, int64_t at, int64_t count) const {
    const PlanesD d;
    v = hn::Mul(v, hn::Set(d, factor));
    if (HWY_LIKELY(count >= kPlanesLanes)) {
      if (residual != nullptr) v = hn::Add(v, hn::LoadU(d, residual + at));
      hn::StoreU(finished(v), d, y + at);
      return;
    }
    // What follows in memory belongs to another channel, perhaps of another thread.
    alignas(64) float buffer[kPlanesVector] = {};
    for (int64_t i = 0; residual != nullptr && i < count; ++i) buffer[i] = residual[at + i];
    if (residual != nullptr) v = hn::Add(v, hn::Load(d, buffer));
    hn::Store(finished(v), d, buffer);
    for (int64_t i = 0; i < count; ++i) y[at + i] = buffer[i];
  }
};

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ESPALIER_CORE_KERNELS_PLANES_STORE_INL_H_
