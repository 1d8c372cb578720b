// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/spmm_micro.h>

#include <algorithm>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/sparse/kernels/spmm_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::sparse::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 64 bytes are one vector of AVX-512, two of AVX2, four of SSE.
template <class T>
using Lanes = hn::CappedTag<T, 64 / sizeof(T)>;

/// kVectors neighbouring vectors of kRows rows of the output, from column `j` on.
template <int kRows, int kVectors, class D, class T>
HWY_INLINE void spmm_tile(D d, const SpmmJob<T>& job, int64_t j) {
  constexpr int64_t kLanes = hn::MaxLanes(D());
  using V = hn::Vec<D>;
  V sums[kRows][kVectors];
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  const T* HWY_RESTRICT values = job.values;
  for (int64_t e = 0; e < job.blocks; ++e, values += job.value_step) {
    const int64_t first = job.columns[e] * job.block_cols;
    const int64_t width = std::min(job.block_cols, job.b_rows - first);
    for (int64_t c = 0; c < width; ++c) {
      const T* HWY_RESTRICT from = job.b + (first + c) * job.n + j;
      V x[kVectors];
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) x[v] = hn::LoadU(d, from + v * kLanes);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        const V w = hn::Set(d, values[r * job.block_cols + c]);
        HWY_UNROLL(4)
        for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(w, x[v], sums[r][v]);
      }
    }
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[r][v], d, job.out + r * job.n + j + v * kLanes);
    }
  }
}

template <int kRows, class T>
void spmm_rows(const SpmmJob<T>& job) {
  // As many sums as registers hold beside the vectors of b.
  constexpr int kVectors = kRows == 1 ? 4 : 2;
  const Lanes<T> d;
  constexpr int64_t kLanes = hn::MaxLanes(Lanes<T>());
  int64_t j = 0;
  for (; j + kVectors * kLanes <= job.n; j += kVectors * kLanes) {
    spmm_tile<kRows, kVectors>(d, job, j);
  }
  for (; j + kLanes <= job.n; j += kLanes) spmm_tile<kRows, 1>(d, job, j);
  for (; j < job.n; ++j) spmm_tile<kRows, 1>(hn::CappedTag<T, 1>(), job, j);
}

template <class T>
void spmm_of(const SpmmJob<T>& job) {
  switch (job.rows) {
    case 1:
      return spmm_rows<1>(job);
    case 2:
      return spmm_rows<2>(job);
    case 3:
      return spmm_rows<3>(job);
    default:
      return spmm_rows<kSpmmRows>(job);
  }
}

/// kCount dot products with one row, each with a chain of sums of its own.
template <int kCount, class T>
HWY_INLINE void dots_together(const DotsJob<T>& job, int64_t first) {
  const Lanes<T> d;
  constexpr int64_t kLanes = hn::MaxLanes(Lanes<T>());
  using V = hn::Vec<Lanes<T>>;
  const T* from[kCount];
  V sums[kCount];
  HWY_UNROLL(4)
  for (int i = 0; i < kCount; ++i) {
    from[i] = job.b + job.columns[first + i] * job.size;
    sums[i] = hn::Zero(d);
  }
  int64_t k = 0;
  for (; k + kLanes <= job.size; k += kLanes) {
    const V a = hn::LoadU(d, job.a + k);
    HWY_UNROLL(4)
    for (int i = 0; i < kCount; ++i) sums[i] = hn::MulAdd(a, hn::LoadU(d, from[i] + k), sums[i]);
  }
  for (int i = 0; i < kCount; ++i) {
    T sum = hn::GetLane(hn::SumOfLanes(d, sums[i]));
    for (int64_t rest = k; rest < job.size; ++rest) sum += job.a[rest] * from[i][rest];
    job.out[first + i] = sum;
  }
}

template <class T>
void dots_of(const DotsJob<T>& job) {
  int64_t i = 0;
  for (; i + 4 <= job.count; i += 4) dots_together<4>(job, i);
  for (; i < job.count; ++i) dots_together<1>(job, i);
}

void spmm_float(const SpmmJob<float>& job) {
  spmm_of(job);
}
void spmm_double(const SpmmJob<double>& job) {
  spmm_of(job);
}
void dots_float(const DotsJob<float>& job) {
  dots_of(job);
}
void dots_double(const DotsJob<double>& job) {
  dots_of(job);
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::sparse::detail {

HWY_EXPORT(spmm_float);
HWY_EXPORT(spmm_double);
HWY_EXPORT(dots_float);
HWY_EXPORT(dots_double);

template <>
SpmmFn<float> spmm_kernel<float>() {
  simd_target();  // chooses the target at the first call
  return HWY_DYNAMIC_DISPATCH(spmm_float);
}
template <>
SpmmFn<double> spmm_kernel<double>() {
  simd_target();
  return HWY_DYNAMIC_DISPATCH(spmm_double);
}
template <>
DotsFn<float> dots_kernel<float>() {
  simd_target();
  return HWY_DYNAMIC_DISPATCH(dots_float);
}
template <>
DotsFn<double> dots_kernel<double>() {
  simd_target();
  return HWY_DYNAMIC_DISPATCH(dots_double);
}

}  // namespace espalier::sparse::detail
#endif
