// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/winograd_planes.h>
#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/conv2d/winograd_planes_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/core/kernels/conv2d/planes_store-inl.h>
#include <espalier/core/kernels/conv2d/winograd_forms-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// A row from `first` on to `to`, zeros for columns outside of it.
HWY_INLINE void copy_row(
    const float* row, int64_t width, int64_t first, int64_t length, float* to) {
  const PlanesD d;
  for (int64_t i = 0; i < length; i += kPlanesLanes) {
    const int64_t column = first + i;
    PlanesV v = hn::LoadU(d, row + column);
    if (column < 0) {
      const auto outside = static_cast<size_t>(HWY_MIN(-column, kPlanesLanes));
      v = hn::IfThenZeroElse(hn::FirstN(d, outside), v);
    }
    if (column + kPlanesLanes > width) {
      v = hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(HWY_MAX(width - column, 0))), v);
    }
    hn::StoreU(v, d, to + i);
  }
}

// Rows lie in the order of their numbers within a remainder: what a vector writes beyond one is
// overwritten by the next.
template <int kSize>
void rows(const WinogradRowsInput& job) {
  const PlanesD d;
  const WinogradRows& place = job.place;
  for (int64_t r = 0; r < job.rows; ++r) {
    float* to = job.to + r % kSize * place.remainder + r / kSize * place.length;
    const int64_t h = r - job.padding_h;
    if (h < 0 || h >= job.height) {
      for (int64_t i = 0; i < place.length; i += kPlanesLanes) {
        hn::StoreU(hn::Zero(d), d, to + i);
        hn::StoreU(hn::Zero(d), d, to + place.shifted + i);
      }
      continue;
    }
    const float* row = job.x + h * job.width;
    copy_row(row, job.width, -job.padding_w, place.length, to);
    copy_row(row, job.width, kSize - job.padding_w, place.length, to + place.shifted);
  }
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void load_row(const float* at, int64_t shifted, PlanesV (&v)[6]) {
  const PlanesD d;
  for (int j = 0; j < 4; ++j) v[j] = hn::Load(d, at + j);
  for (int j = 4; j < 6; ++j) v[j] = hn::Load(d, at + shifted + j - 4);
}
HWY_INLINE void load_row(const float* at, int64_t shifted, PlanesV (&v)[4]) {
  const PlanesD d;
  for (int j = 0; j < 2; ++j) v[j] = hn::Load(d, at + j);
  for (int j = 2; j < 4; ++j) v[j] = hn::Load(d, at + shifted + j - 2);
}
#else
/// Every second number of two vectors, from the first and from the second on.
HWY_INLINE void split(const float* at, PlanesV& even, PlanesV& odd) {
  const PlanesD d;
  const PlanesV low = hn::LoadU(d, at);
  const PlanesV high = hn::LoadU(d, at + kPlanesLanes);
  even = hn::ConcatEven(d, high, low);
  odd = hn::ConcatOdd(d, high, low);
}
/// The columns of a window's row for as many tiles as a vector has lanes: tiles follow each other,
/// a tile's size apart, so that a tile's columns are neighbours. Fewer shuffles than
/// LoadInterleaved4, and half of the second one's results are not wanted.
HWY_INLINE void load_row(const float* at, int64_t shifted, PlanesV (&v)[6]) {
  const PlanesD d;
  PlanesV even[2], odd[2];
  split(at, even[0], odd[0]);
  split(at + 2 * kPlanesLanes, even[1], odd[1]);
  v[0] = hn::ConcatEven(d, even[1], even[0]);
  v[1] = hn::ConcatEven(d, odd[1], odd[0]);
  v[2] = hn::ConcatOdd(d, even[1], even[0]);
  v[3] = hn::ConcatOdd(d, odd[1], odd[0]);
  split(at + shifted, even[0], odd[0]);
  split(at + shifted + 2 * kPlanesLanes, even[1], odd[1]);
  v[4] = hn::ConcatEven(d, even[1], even[0]);
  v[5] = hn::ConcatEven(d, odd[1], odd[0]);
}
HWY_INLINE void load_row(const float* at, int64_t shifted, PlanesV (&v)[4]) {
  split(at, v[0], v[1]);
  split(at + shifted, v[2], v[3]);
}
#endif
HWY_INLINE void store_row(const PlanesV (&v)[4], float* at) {
  hn::StoreInterleaved4(v[0], v[1], v[2], v[3], PlanesD(), at);
}
HWY_INLINE void store_row(const PlanesV (&v)[2], float* at) {
  hn::StoreInterleaved2(v[0], v[1], PlanesD(), at);
}

template <class Form>
void input(const WinogradTilesInput& job) {
  constexpr int kWindow = Form::kWindow;
  constexpr int kSize = Form::kSize;
  const PlanesD d;
  alignas(64) float transformed[kWindow][kWindow][kPlanesLanes];
  for (int64_t lane = 0; lane < kPlanesVector; lane += kPlanesLanes) {
    for (int i = 0; i < kWindow; ++i) {
      PlanesV x[kWindow], row[kWindow];
      load_row(
          job.rows + i % kSize * job.place.remainder + i / kSize * job.place.length + kSize * lane,
          job.place.shifted,
          x);
      Form::input(x, row);
      HWY_UNROLL(6)
      for (int j = 0; j < kWindow; ++j) hn::Store(row[j], d, transformed[j][i]);
    }
    float* out = job.points + lane;
    for (int j = 0; j < kWindow; ++j, out += job.point_stride) {
      PlanesV column[kWindow], points[kWindow];
      HWY_UNROLL(6)
      for (int i = 0; i < kWindow; ++i) column[i] = hn::Load(d, transformed[j][i]);
      Form::input(column, points);
      HWY_UNROLL(6)
      for (int i = 0; i < kWindow; ++i) {
        hn::Store(points[i], d, out + i * kWindow * job.point_stride);
      }
    }
  }
}

template <class Form>
void output(const WinogradTilesOutput& job) {
  constexpr int kWindow = Form::kWindow;
  constexpr int kSize = Form::kSize;
  const PlanesD d;
  const PlanesV bias = hn::Set(d, job.bias);
  for (int64_t lane = 0; lane < kPlanesVector; lane += kPlanesLanes) {
    const float* HWY_RESTRICT m = job.points + lane;
    PlanesV columns[kWindow][kSize];
    HWY_UNROLL(6)
    for (int j = 0; j < kWindow; ++j) {
      PlanesV column[kWindow];
      HWY_UNROLL(6)
      for (int i = 0; i < kWindow; ++i) {
        column[i] = hn::Load(d, m + (kWindow * i + j) * job.point_stride);
      }
      Form::output(column, columns[j]);
    }
    HWY_UNROLL(4)
    for (int i = 0; i < kSize; ++i) {
      PlanesV row[kWindow], out[kSize];
      HWY_UNROLL(6)
      for (int j = 0; j < kWindow; ++j) row[j] = columns[j][i];
      Form::output(row, out);
      HWY_UNROLL(4)
      for (int j = 0; j < kSize; ++j) out[j] = hn::Add(out[j], bias);
      store_row(out, job.rows + (i * kPlanesVector + lane) * kSize);
    }
  }
}

// The dispatch tables take no templates.
void rows_of2(const WinogradRowsInput& job) {
  rows<2>(job);
}
void rows_of4(const WinogradRowsInput& job) {
  rows<4>(job);
}
void input2(const WinogradTilesInput& job) {
  input<Form2>(job);
}
void input4(const WinogradTilesInput& job) {
  input<Form4>(job);
}
void output2(const WinogradTilesOutput& job) {
  output<Form2>(job);
}
void output4(const WinogradTilesOutput& job) {
  output<Form4>(job);
}

void finish(
    const float* sums, const float* residual, const PlanesLimits& limits, int64_t count, float* y) {
  const PlanesD d;
  const PlanesStore store{.y = y, .residual = residual, .limits = limits};
  for (int64_t i = 0; i < count; i += kPlanesLanes) {
    store.put(hn::LoadU(d, sums + i), i, count - i);
  }
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(rows_of2);
HWY_EXPORT(rows_of4);
HWY_EXPORT(input2);
HWY_EXPORT(input4);
HWY_EXPORT(output2);
HWY_EXPORT(output4);
HWY_EXPORT(finish);

WinogradPlanesKernels winograd_planes_kernels(WinogradTile tile) {
  simd_target();  // chooses the target at the first call
  const bool small = tile.size == 2;
  return {small ? HWY_DYNAMIC_DISPATCH(rows_of2) : HWY_DYNAMIC_DISPATCH(rows_of4),
          small ? HWY_DYNAMIC_DISPATCH(input2) : HWY_DYNAMIC_DISPATCH(input4),
          small ? HWY_DYNAMIC_DISPATCH(output2) : HWY_DYNAMIC_DISPATCH(output4),
          HWY_DYNAMIC_DISPATCH(finish)};
}

}  // namespace espalier::detail
#endif
