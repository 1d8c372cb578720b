// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_planes_micro.h>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/sparse/kernels/conv2d_planes_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/core/kernels/conv2d/planes_store-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::sparse::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = espalier::detail::HWY_NAMESPACE::PlanesD;
using V = espalier::detail::HWY_NAMESPACE::PlanesV;
using espalier::detail::kPlanesVector;
using espalier::detail::HWY_NAMESPACE::kPlanesLanes;
using espalier::detail::HWY_NAMESPACE::PlanesStore;

// AVX-512 has 32 registers, the others 16: their tiles are smaller.
constexpr bool kManyRegisters = kPlanesLanes == 16;
// Vectors of the 16 pixels that a tile takes together: narrow planes are too small for tiles of
// half of them.
constexpr int kParts = kManyRegisters ? 1 : 2;
// Chains of sums that hide the latency of an FMA.
constexpr int kChains = 4;

/// One row of kB output channels on kR rows of kW neighbouring vectors. Small tiles have as many
/// chains as hide the latency: entries go to them in turns, and they are added at the end.
template <int kB, int kR, int kW>
HWY_INLINE void row_tile(const SparsePlanesJob& job,
                         int64_t row,
                         const float* HWY_RESTRICT x,
                         int64_t pitch,
                         int64_t out,
                         int64_t positions) {
  constexpr int kV = kR * kW;
  constexpr int kE = kB * kV >= kChains ? 1 : kChains / (kB * kV);
  const D d;
  const auto load = [&](const float* HWY_RESTRICT at, int v) HWY_ATTR {
    return hn::LoadU(d, at + v / kW * pitch + v % kW * kPlanesLanes);
  };
  V acc[kE][kB][kV];
  HWY_UNROLL(4)
  for (int e = 0; e < kE; ++e) {
    HWY_UNROLL(4)
    for (int b = 0; b < kB; ++b) {
      const bool has_start = e == 0 && job.start != nullptr && row * kB + b < job.channels;
      const V start = hn::Set(d, has_start ? job.start[row * kB + b] : 0.0f);
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) acc[e][b][v] = start;
    }
  }
  const int32_t* HWY_RESTRICT offsets = job.offsets;
  const float* HWY_RESTRICT values = job.values;
  const auto add = [&](int64_t i, V(&sums)[kB][kV]) HWY_ATTR {
    const float* HWY_RESTRICT at = x + offsets[i];
    if constexpr (kB == 1) {
      const V w = hn::Set(d, values[i]);
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) sums[0][v] = hn::MulAdd(w, load(at, v), sums[0][v]);
    } else {
      V xv[kV];
      HWY_UNROLL(8)
      for (int v = 0; v < kV; ++v) xv[v] = load(at, v);
      HWY_UNROLL(4)
      for (int b = 0; b < kB; ++b) {
        const V w = hn::Set(d, values[i * kB + b]);
        HWY_UNROLL(8)
        for (int v = 0; v < kV; ++v) sums[b][v] = hn::MulAdd(w, xv[v], sums[b][v]);
      }
    }
  };
  int64_t i = job.bounds[row];
  const int64_t end = job.bounds[row + 1];
  for (; i + kE <= end; i += kE) {
    HWY_UNROLL(4)
    for (int e = 0; e < kE; ++e) add(i + e, acc[e]);
  }
  if constexpr (kE > 1) {
    for (; i < end; ++i) add(i, acc[0]);
  }
  HWY_UNROLL(4)
  for (int b = 0; b < kB; ++b) {
    const int64_t k = row * kB + b;
    if (k >= job.channels) break;
    const PlanesStore to{job.y + k * job.y_channel,
                         job.residual == nullptr ? nullptr : job.residual + k * job.y_channel,
                         job.limits};
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      V sum = acc[0][b][v];
      HWY_UNROLL(4)
      for (int e = 1; e < kE; ++e) sum = hn::Add(sum, acc[e][b][v]);
      to.put(sum,
             out + v / kW * job.y_pitch + v % kW * kPlanesLanes,
             v / kW == kR - 1 ? positions - v % kW * kPlanesLanes : kPlanesLanes);
    }
  }
}

/// Rows of vectors from `at` on, as many whole tiles of kR as are left, kC runs of 16 pixels wide.
/// All output channels pass over one tile before the next: what they read stays near.
template <int kB, int kR, int kC, bool kLine>
HWY_INLINE int64_t tiles(const SparsePlanesJob& job, int64_t at, int64_t col, int64_t lane) {
  const int64_t pitch = kLine ? kPlanesVector : job.x_pitch;
  for (; at + kR <= job.last_row; at += kR) {
    // Only a single column has rows that end within a run.
    const int64_t end =
        at + kR == job.last_row && kC == 1 ? job.last_positions : kC * kPlanesVector;
    const int64_t in = at * pitch + col * kPlanesVector + lane;
    const int64_t out = at * job.y_pitch + col * kPlanesVector + lane;
    for (int64_t row = job.first; row < job.last; ++row) {
      row_tile<kB, kR, kC * kParts>(job, row, job.x + in, pitch, out, end - lane);
    }
  }
  return at;
}

template <int kB, int kC, bool kLine>
void columns(const SparsePlanesJob& job) {
  constexpr int kW = kC * kParts;
  for (int64_t lane = 0; lane < kPlanesVector; lane += kPlanesLanes * kParts) {
    for (int64_t col = 0; col < job.cols; col += kC) {
      int64_t at = job.first_row;
      if constexpr (kB == 1) {
        if constexpr (kW <= 4) at = tiles<kB, 8 / kW, kC, kLine>(job, at, col, lane);
        if constexpr (kW <= 2) at = tiles<kB, 4 / kW, kC, kLine>(job, at, col, lane);
        if constexpr (kW == 1) at = tiles<kB, 2, kC, kLine>(job, at, col, lane);
      } else if constexpr (kManyRegisters) {
        at = tiles < kB, kC == 1 ? 6 : 3, kC, kLine > (job, at, col, lane);
        if constexpr (kC == 1) at = tiles<kB, 4, kC, kLine>(job, at, col, lane);
        at = tiles<kB, 2, kC, kLine>(job, at, col, lane);
      }
      tiles<kB, 1, kC, kLine>(job, at, col, lane);
    }
  }
}

template <int kB>
void rows(const SparsePlanesJob& job) {
  if (job.cols == 1 && job.x_pitch == kPlanesVector) return columns<kB, 1, true>(job);
  // Sums of blocks fill 16 registers as it is.
  if ((kB == 1 || kManyRegisters) && job.cols % 2 == 0) return columns<kB, 2, false>(job);
  columns<kB, 1, false>(job);
}

void sparse_planes(const SparsePlanesJob& job) {
  rows<1>(job);
}
void block_planes(const SparsePlanesJob& job) {
  rows<4>(job);
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::sparse::detail {

HWY_EXPORT(sparse_planes);
HWY_EXPORT(block_planes);

SparsePlanesFn sparse_planes_kernel() {
  simd_target();  // chooses the target at the first call
  return HWY_DYNAMIC_DISPATCH(sparse_planes);
}

SparsePlanesFn block_planes_kernel() {
  simd_target();
  return HWY_DYNAMIC_DISPATCH(block_planes);
}

}  // namespace espalier::sparse::detail
#endif
