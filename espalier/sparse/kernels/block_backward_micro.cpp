// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/block_backward_micro.h>

#include <algorithm>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/sparse/kernels/block_backward_micro.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/sparse/kernels/tile-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::sparse::detail::HWY_NAMESPACE {

constexpr int kChannels = 4;
// AVX-512 has 32 registers, the others 16: there a tile is made in two halves.
constexpr int kHalves = kVector == 16 ? 1 : 2;

/// Vectors kFirst .. kFirst + kCount - 1 of a tile, for one row of blocks.
template <TileShape kShape, int kStep, bool kData, bool kWeight, int kFirst, int kCount>
HWY_INLINE void backward_row(const BlockBackwardJob& job, int64_t row, int64_t lane, bool full) {
  using T = Tile<kShape>;
  const D d;
  const int32_t* bounds = job.bounds + row * job.bounds_step;
  const int64_t begin = bounds[0];
  const int64_t end = bounds[job.parts];
  if (begin == end) return;
  const TileStrides dy_strides = with_step<1>(job.dy_strides);
  const TileStrides strides = {
      job.scratch_strides.image, job.scratch_strides.row, kStep * kPairFloats};
  V g[kChannels][kCount];
  const float* HWY_RESTRICT dy = job.dy + row * kChannels * job.dy_channel + lane;
  const int64_t channels = job.channels - row * kChannels;
  if (full && channels >= kChannels) {
    HWY_UNROLL(4)
    for (int b = 0; b < kChannels; ++b) {
      HWY_UNROLL(4)
      for (int j = 0; j < kCount; ++j) {
        g[b][j] = hn::Load(d, dy + b * job.dy_channel + T::offset(kFirst + j, dy_strides));
      }
    }
  } else {
    HWY_UNROLL(4)
    for (int b = 0; b < kChannels; ++b) {
      HWY_UNROLL(4)
      for (int j = 0; j < kCount; ++j) {
        g[b][j] = b < channels && T::exists(kFirst + j, job.exist)
                      ? hn::Load(d, dy + b * job.dy_channel + T::offset(kFirst + j, dy_strides))
                      : hn::Zero(d);
      }
    }
  }
  if (lane == 0 && kFirst == 0 && full && job.next_tile != 0 && channels >= kChannels) {
    for (int b = 0; b < kChannels; ++b) {
      for (int j = 0; j < T::kVectors; ++j) {
        __builtin_prefetch(
            dy + job.next_tile + b * job.dy_channel + T::offset(j, dy_strides), 0, 2);
      }
    }
  }
  const int32_t* HWY_RESTRICT offsets = job.offsets;
  float* scratch = job.scratch + lane;
  float* partial = nullptr;
  if constexpr (kWeight) partial = job.partials + (begin - job.first_block) * kChannels * 16 + lane;
  for (int64_t i = begin; i < end; ++i) {
    float* at = scratch + offsets[i];
    V w[kChannels], sum[kChannels];
    HWY_UNROLL(4)
    for (int b = 0; b < kChannels; ++b) {
      if constexpr (kData) w[b] = hn::Set(d, job.values[i * kChannels + b]);
      if constexpr (kWeight) sum[b] = hn::Load(d, partial + b * 16);
    }
    HWY_UNROLL(4)
    for (int j = 0; j < kCount; ++j) {
      float* pair = at + T::offset(kFirst + j, strides);
      if constexpr (kWeight) {
        const V x = hn::Load(d, pair);
        HWY_UNROLL(4)
        for (int b = 0; b < kChannels; ++b) sum[b] = hn::MulAdd(x, g[b][j], sum[b]);
      }
      if constexpr (kData) {
        V dx = hn::Load(d, pair + 16);
        HWY_UNROLL(4)
        for (int b = 0; b < kChannels; ++b) dx = hn::MulAdd(w[b], g[b][j], dx);
        hn::Store(dx, d, pair + 16);
      }
    }
    if constexpr (kWeight) {
      HWY_UNROLL(4)
      for (int b = 0; b < kChannels; ++b) hn::Store(sum[b], d, partial + b * 16);
      partial += kChannels * 16;
    }
  }
}

template <TileShape kShape, int kStep, bool kData, bool kWeight>
void backward_tile(const BlockBackwardJob& job) {
  constexpr int kCount = Tile<kShape>::kVectors / kHalves;
  const bool full = Tile<kShape>::full(job.exist);
  Fetcher fetcher(job.ahead, job.rows);
  for (int64_t row = 0; row < job.rows; ++row) {
    fetcher.next_channel();
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      backward_row<kShape, kStep, kData, kWeight, 0, kCount>(job, row, lane, full);
      if constexpr (kHalves == 2) {
        backward_row<kShape, kStep, kData, kWeight, kCount, kCount>(job, row, lane, full);
      }
    }
  }
}

template <int kStep, bool kData, bool kWeight>
void backward_with_shape(const BlockBackwardJob& job) {
  switch (job.shape) {
    case TileShape::Square:
      return backward_tile<TileShape::Square, kStep, kData, kWeight>(job);
    case TileShape::Row:
      return backward_tile<TileShape::Row, kStep, kData, kWeight>(job);
    case TileShape::Quad:
      return backward_tile<TileShape::Quad, kStep, kData, kWeight>(job);
    default:
      return; /* of single weights */
  }
}

template <int kStep>
void backward_with_step(const BlockBackwardJob& job) {
  if (job.values == nullptr) return backward_with_shape<kStep, false, true>(job);
  if (job.partials == nullptr) return backward_with_shape<kStep, true, false>(job);
  backward_with_shape<kStep, true, true>(job);
}

void backward(const BlockBackwardJob& job) {
  job.scratch_strides.col == kPairFloats ? backward_with_step<1>(job) : backward_with_step<2>(job);
}

HWY_INLINE void copy16(const float* HWY_RESTRICT from, float* HWY_RESTRICT to) {
  for (int64_t lane = 0; lane < 16; lane += kVector) {
    hn::Store(hn::Load(D(), from + lane), D(), to + lane);
  }
}

HWY_INLINE void zero16(float* to) {
  for (int64_t lane = 0; lane < 16; lane += kVector) hn::Store(hn::Zero(D()), D(), to + lane);
}

// As scale_shift rounds it.
HWY_INLINE void map16(const BlockMap& map, const float* HWY_RESTRICT from, float* HWY_RESTRICT to) {
  const D d;
  for (int64_t lane = 0; lane < 16; lane += kVector) {
    V v = hn::MulAdd(hn::Set(d, map.scale), hn::Load(d, from + lane), hn::Set(d, map.shift));
    if (map.relu) v = hn::IfThenZeroElse(hn::Le(v, hn::Zero(d)), v);
    hn::Store(v, d, to + lane);
  }
}

void fill(const BlockPlane& p, const float* x, const BlockMap* map, int64_t begin, float* scratch) {
  const int64_t left = std::clamp<int64_t>(-p.first_col, 0, p.cols);
  const int64_t right = std::clamp<int64_t>(p.w - p.first_col, left, p.cols);
  float* to = scratch + begin * p.cols * kPairFloats;
  for (int64_t r = begin; r < p.rows; ++r) {
    const int64_t row = p.first_row + r;
    const bool inside = x != nullptr && row >= 0 && row < p.h;
    const int64_t from_col = inside ? left : p.cols;
    const int64_t to_col = inside ? right : p.cols;
    int64_t c = 0;
    for (; c < from_col; ++c, to += kPairFloats) {
      zero16(to);
      zero16(to + 16);
    }
    for (; c < to_col; ++c, to += kPairFloats) {
      const float* from = x + (row * p.w + p.first_col + c) * 16;
      map == nullptr ? copy16(from, to) : map16(*map, from, to);
      zero16(to + 16);
    }
    for (; c < p.cols; ++c, to += kPairFloats) {
      zero16(to);
      zero16(to + 16);
    }
  }
}

template <Emission kHow, bool kGate>
void emit_rows(const BlockPlane& p,
               const float* scratch,
               int64_t begin,
               int64_t end,
               float* dx,
               const BlockGate* gate) {
  const D d;
  constexpr int64_t kParts = 16 / kVector;
  V sum_g[kParts], sum_gx[kParts];
  for (int64_t i = 0; i < kParts; ++i) sum_g[i] = sum_gx[i] = hn::Zero(d);
  for (int64_t r = std::max(begin, -p.first_row); r < std::min(end, p.h - p.first_row); ++r) {
    const int64_t row = (p.first_row + r) * p.w * 16;
    for (int64_t col = 0; col < p.w; ++col) {
      const int64_t c = col - p.first_col;
      const bool reached = r < p.rows && c < p.cols;
      const float* from = scratch + (r * p.cols + c) * kPairFloats;
      for (int64_t i = 0; i < kParts; ++i) {
        const int64_t lane = i * kVector;
        float* to = dx + row + col * 16 + lane;
        V sum = reached ? hn::Load(d, from + 16 + lane) : hn::Zero(d);
        if constexpr (kHow == Emission::Add) sum = hn::Add(sum, hn::Load(d, to));
        if constexpr (kGate) {
          if (reached) {
            sum = hn::IfThenZeroElse(hn::Le(hn::Load(d, from + lane), hn::Zero(d)), sum);
            const V x = hn::Load(d, gate->x + row + col * 16 + lane);
            sum_g[i] = hn::Add(sum_g[i], sum);
            sum_gx[i] = hn::MulAdd(sum, hn::Sub(x, hn::Set(d, gate->center)), sum_gx[i]);
          }
        }
        put<kHow == Emission::Stream>(sum, to);
      }
    }
  }
  if constexpr (kGate) {
    for (int64_t i = 0; i < kParts; ++i) {
      float* sums = gate->sums + i * kVector;
      hn::Store(hn::Add(hn::Load(d, sums), sum_g[i]), d, sums);
      hn::Store(hn::Add(hn::Load(d, sums + 16), sum_gx[i]), d, sums + 16);
    }
  }
}

void emit(const BlockPlane& plane,
          const float* scratch,
          int64_t begin,
          int64_t end,
          float* dx,
          Emission how,
          const BlockGate* gate) {
  switch (how) {
    case Emission::Store:
      return gate == nullptr
                 ? emit_rows<Emission::Store, false>(plane, scratch, begin, end, dx, nullptr)
                 : emit_rows<Emission::Store, true>(plane, scratch, begin, end, dx, gate);
    case Emission::Add:
      return emit_rows<Emission::Add, false>(plane, scratch, begin, end, dx, nullptr);
    case Emission::Stream:
      gate == nullptr ? emit_rows<Emission::Stream, false>(plane, scratch, begin, end, dx, nullptr)
                      : emit_rows<Emission::Stream, true>(plane, scratch, begin, end, dx, gate);
      finish_streaming();
  }
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::sparse::detail {

HWY_EXPORT(backward);
HWY_EXPORT(fill);
HWY_EXPORT(emit);

BlockBackwardKernels block_backward_kernels() {
  simd_target();  // chooses the target at the first call
  return {HWY_DYNAMIC_DISPATCH(backward), HWY_DYNAMIC_DISPATCH(fill), HWY_DYNAMIC_DISPATCH(emit)};
}

}  // namespace espalier::sparse::detail
#endif
