// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/micro.h>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/conv2d/micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 16 lanes are one vector of AVX-512, two of AVX2, four of SSE: a tile runs once for each of them.
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr int64_t kVector = hn::MaxLanes(D());
// AVX-512 has 32 registers, the others 16: their tiles are narrower.
constexpr int kPositions = kVector == 16 ? kTilePositions : 2;
constexpr int kColumns = kVector == 16 ? kTileColumns : 2;

template <int B, int P>
HWY_INLINE void tile(const TileJob& job, const float* HWY_RESTRICT x, float* HWY_RESTRICT y) {
  const D d;
  V acc[B][P];
  HWY_UNROLL(4)
  for (int b = 0; b < B; ++b) {
    HWY_UNROLL(4)
    for (int p = 0; p < P; ++p) {
      acc[b][p] = job.start != nullptr ? hn::Set(d, job.start[b])
                                       : hn::Load(d, y + b * job.y_channel_stride + p * job.y_step);
    }
  }
  const float* HWY_RESTRICT w = job.weights;
  const int64_t* HWY_RESTRICT offsets = job.tap_offsets;
  const int64_t taps = job.taps;
  const int64_t step = job.x_step;
  const int64_t to_next_channel = job.weight_channel_stride - taps * B;
  for (int64_t c = 0; c < job.channels; ++c) {
    for (int64_t t = 0; t < taps; ++t) {
      const float* HWY_RESTRICT at = x + offsets[t];
      V xv[P];
      HWY_UNROLL(4)
      for (int p = 0; p < P; ++p) xv[p] = hn::Load(d, at + p * step);
      HWY_UNROLL(4)
      for (int b = 0; b < B; ++b) {
        const V wv = hn::Set(d, w[b]);
        HWY_UNROLL(4)
        for (int p = 0; p < P; ++p) acc[b][p] = hn::MulAdd(wv, xv[p], acc[b][p]);
      }
      w += B;
    }
    x += job.x_channel_stride;
    w += to_next_channel;
  }
  HWY_UNROLL(4)
  for (int b = 0; b < B; ++b) {
    HWY_UNROLL(4)
    for (int p = 0; p < P; ++p) {
      hn::Store(acc[b][p], d, y + b * job.y_channel_stride + p * job.y_step);
    }
  }
}

template <int B>
void row_of_tiles(const TileJob& job, int64_t positions) {
  for (int64_t lane = 0; lane < 16; lane += kVector) {
    const float* x = job.x + lane;
    float* y = job.y + lane;
    int64_t p = 0;
    for (; p + kPositions <= positions; p += kPositions) {
      tile<B, kPositions>(job, x + p * job.x_step, y + p * job.y_step);
    }
    if constexpr (kPositions == 4) {
      if (positions - p == 3) {
        tile<B, 3>(job, x + p * job.x_step, y + p * job.y_step);
        continue;
      }
      if (positions - p == 2) {
        tile<B, 2>(job, x + p * job.x_step, y + p * job.y_step);
        continue;
      }
    }
    if (positions - p == 1) tile<B, 1>(job, x + p * job.x_step, y + p * job.y_step);
  }
}

void row(const TileJob& job, int b_count, int64_t positions) {
  switch (b_count) {
    case 1:
      return row_of_tiles<1>(job, positions);
    case 2:
      return row_of_tiles<2>(job, positions);
    case 3:
      return row_of_tiles<3>(job, positions);
    default:
      return row_of_tiles<4>(job, positions);
  }
}

template <int B, int P>
HWY_INLINE void picked_tile(const PickedJob& job,
                            const float* HWY_RESTRICT x,
                            float* HWY_RESTRICT y) {
  const D d;
  V acc[B][P];
  HWY_UNROLL(4)
  for (int b = 0; b < B; ++b) {
    HWY_UNROLL(4)
    for (int p = 0; p < P; ++p) acc[b][p] = hn::Zero(d);
  }
  const float* HWY_RESTRICT w[B];
  HWY_UNROLL(4)
  for (int b = 0; b < B; ++b) w[b] = job.weights[b];
  const int32_t* HWY_RESTRICT picked = job.picked;
  const int64_t count = job.count;
  const int64_t x_stride = job.x_stride;
  for (int64_t i = 0; i < count; ++i) {
    const auto column = static_cast<int64_t>(picked[i]);
    V xv[P];
    HWY_UNROLL(4)
    for (int p = 0; p < P; ++p) xv[p] = hn::Load(d, x + p * 16);
    HWY_UNROLL(4)
    for (int b = 0; b < B; ++b) {
      const V wv = hn::Set(d, w[b][column]);
      HWY_UNROLL(4)
      for (int p = 0; p < P; ++p) acc[b][p] = hn::MulAdd(wv, xv[p], acc[b][p]);
    }
    x += x_stride;
  }
  HWY_UNROLL(4)
  for (int b = 0; b < B; ++b) {
    HWY_UNROLL(4)
    for (int p = 0; p < P; ++p) hn::Store(acc[b][p], d, y + b * job.y_stride + p * 16);
  }
}

template <int B>
void picked_tiles(const PickedJob& job, int64_t positions) {
  for (int64_t lane = 0; lane < 16; lane += kVector) {
    const float* x = job.x + lane;
    float* y = job.y + lane;
    int64_t p = 0;
    for (; p + kPositions <= positions; p += kPositions) {
      picked_tile<B, kPositions>(job, x + p * 16, y + p * 16);
    }
    for (; p < positions; ++p) picked_tile<B, 1>(job, x + p * 16, y + p * 16);
  }
}

void picked(const PickedJob& job, int b_count, int64_t positions) {
  switch (b_count) {
    case 1:
      return picked_tiles<1>(job, positions);
    case 2:
      return picked_tiles<2>(job, positions);
    case 3:
      return picked_tiles<3>(job, positions);
    default:
      return picked_tiles<4>(job, positions);
  }
}

template <int B, int T>
void columns_tile(const ColumnJob& job, int first, int columns) {
  const D d;
  for (int64_t lane = 0; lane < 16; lane += kVector) {
    float* HWY_RESTRICT sums = job.sums + first * 16 + lane;
    V acc[B][T];
    HWY_UNROLL(4)
    for (int b = 0; b < B; ++b) {
      HWY_UNROLL(6)
      for (int t = 0; t < T; ++t) acc[b][t] = hn::Zero(d);
    }
    const float* HWY_RESTRICT column[T];
    HWY_UNROLL(6)
    for (int t = 0; t < T; ++t) column[t] = job.x + job.column_offsets[first + t] + lane;
    for (int64_t n = 0; n < job.images; ++n) {
      for (int64_t i = 0; i < job.rows; ++i) {
        const float* HWY_RESTRICT dy =
            job.dy + n * job.dy_image_stride + i * job.dy_row_stride + lane;
        int64_t at = n * job.x_image_stride + i * job.x_row_stride;
        for (int64_t j = 0; j < job.positions; ++j) {
          V g[B];
          HWY_UNROLL(4)
          for (int b = 0; b < B; ++b) g[b] = hn::Load(d, dy + b * job.dy_channel_stride);
          HWY_UNROLL(6)
          for (int t = 0; t < T; ++t) {
            const V xv = hn::Load(d, column[t] + at);
            HWY_UNROLL(4)
            for (int b = 0; b < B; ++b) acc[b][t] = hn::MulAdd(g[b], xv, acc[b][t]);
          }
          dy += 16;
          at += job.x_step;
        }
      }
    }
    HWY_UNROLL(4)
    for (int b = 0; b < B; ++b) {
      HWY_UNROLL(6)
      for (int t = 0; t < T; ++t) hn::Store(acc[b][t], d, sums + (b * columns + t) * 16);
    }
  }
}

// Columns first .. columns-1 in tiles of at most kColumns.
template <int B>
void all_columns(const ColumnJob& job, int columns) {
  int t = 0;
  for (; t + kColumns <= columns; t += kColumns) columns_tile<B, kColumns>(job, t, columns);
  const int rest = columns - t;
  if constexpr (kColumns == 6) {
    if (rest == 5) columns_tile<B, 5>(job, t, columns);
    if (rest == 4) columns_tile<B, 4>(job, t, columns);
    if (rest == 3) columns_tile<B, 3>(job, t, columns);
    if (rest == 2) columns_tile<B, 2>(job, t, columns);
  }
  if (rest == 1) columns_tile<B, 1>(job, t, columns);
}

void column(const ColumnJob& job, int b_count, int columns) {
  switch (b_count) {
    case 1:
      return all_columns<1>(job, columns);
    case 2:
      return all_columns<2>(job, columns);
    case 3:
      return all_columns<3>(job, columns);
    default:
      return all_columns<4>(job, columns);
  }
}

// Sums of neighbouring lanes of a, then of b: log2(n) rounds of it turn n vectors into their n
// sums.
HWY_INLINE V pair_sums(D d, V a, V b) {
#if HWY_TARGET == HWY_SCALAR
  (void)d;
  return hn::Add(a, b);  // not reached: vectors of one lane are their own sum
#else
  return hn::Add(hn::ConcatEven(d, b, a), hn::ConcatOdd(d, b, a));
#endif
}

void lane_sum(const float* vectors, int64_t count, float* out) {
  const D d;
  int64_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    V v[kVector];
    HWY_UNROLL(16)
    for (int64_t j = 0; j < kVector; ++j) {
      v[j] = hn::Load(d, vectors + (i + j) * 16);
      for (int64_t lane = kVector; lane < 16; lane += kVector) {
        v[j] = hn::Add(v[j], hn::Load(d, vectors + (i + j) * 16 + lane));
      }
    }
    HWY_UNROLL(4)
    for (int64_t n = kVector / 2; n > 0; n /= 2) {
      HWY_UNROLL(8)
      for (int64_t j = 0; j < n; ++j) v[j] = pair_sums(d, v[2 * j], v[2 * j + 1]);
    }
    hn::StoreU(v[0], d, out + i);
  }
  for (; i < count; ++i) {
    out[i] = 0.0f;
    for (int64_t lane = 0; lane < 16; ++lane) out[i] += vectors[i * 16 + lane];
  }
}

double fma_peak(int64_t iterations) {
  const D d;
  V acc[12];
  HWY_UNROLL(12)
  for (int i = 0; i < 12; ++i) acc[i] = hn::Set(d, static_cast<float>(i));
  const V a = hn::Set(d, 0.999f);
  const V b = hn::Set(d, 1e-3f);
  for (int64_t i = 0; i < iterations; ++i) {
    HWY_UNROLL(12)
    for (int j = 0; j < 12; ++j) acc[j] = hn::MulAdd(acc[j], a, b);
  }
  V sum = acc[0];
  HWY_UNROLL(11)
  for (int i = 1; i < 12; ++i) sum = hn::Add(sum, acc[i]);
  // The result must be used, else the loop is dropped.
  const double operations =
      2.0 * 12.0 * static_cast<double>(kVector) * static_cast<double>(iterations);
  return hn::GetLane(hn::SumOfLanes(d, sum)) == 12345.0f ? operations + 1.0 : operations;
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(row);
HWY_EXPORT(column);
HWY_EXPORT(picked);
HWY_EXPORT(lane_sum);
HWY_EXPORT(fma_peak);

ConvMicroKernels conv_micro_kernels() {
  simd_target();  // chooses the target at the first call
  return {HWY_DYNAMIC_DISPATCH(row),
          HWY_DYNAMIC_DISPATCH(column),
          HWY_DYNAMIC_DISPATCH(picked),
          HWY_DYNAMIC_DISPATCH(lane_sum)};
}

double fma_peak_loop(int64_t iterations) {
  simd_target();
  return HWY_DYNAMIC_DISPATCH(fma_peak)(iterations);
}

}  // namespace espalier::detail
#endif
