// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_block_micro.h>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/sparse/kernels/conv2d_block_micro.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/sparse/kernels/tile-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::sparse::detail::HWY_NAMESPACE {

constexpr int kChannels = 4;
// Vectors at a time: their sums for all channels, the input and a weight stay in the 32 registers
// of AVX-512, or 16 of the others.
constexpr int kPass = kVector == 16 ? 4 : 3;

/// Pieces kFirst .. kFirst + kCount - 1 of a tile, for one row of blocks.
template <bool kStream, TileShape kShape, int kInStep, int kFirst, int kCount>
HWY_INLINE void block_row(const BlockJob& job, int64_t row) {
  using T = Tile<kShape>;
  const D d;
  const TileStrides in_strides = with_step<kInStep>(job.in_strides);
  const TileStrides out_strides = with_step<1>(job.out_strides);
  V acc[kChannels][kCount];
  const int64_t first = row * kChannels;
  HWY_UNROLL(4)
  for (int b = 0; b < kChannels; ++b) {
    const bool has_start = job.start != nullptr && first + b < job.channels;
    const V start = hn::Set(d, has_start ? job.start[first + b] : 0.0f);
    HWY_UNROLL(4)
    for (int j = 0; j < kCount; ++j) acc[b][j] = start;
  }
  const int32_t* bounds = job.bounds + row * job.bounds_step;
  const int64_t end = bounds[job.parts];
  for (int64_t i = bounds[0]; i < end; ++i) {
    const float* HWY_RESTRICT at = job.in + job.offsets[i];
    const float* HWY_RESTRICT values = job.values + i * kChannels;
    V x[kCount];
    HWY_UNROLL(4)
    for (int j = 0; j < kCount; ++j) {
      x[j] = hn::Load(d, at + T::piece_offset(kFirst + j, in_strides));
    }
    HWY_UNROLL(4)
    for (int b = 0; b < kChannels; ++b) {
      const V w = hn::Set(d, values[b]);
      HWY_UNROLL(4)
      for (int j = 0; j < kCount; ++j) acc[b][j] = hn::MulAdd(w, x[j], acc[b][j]);
    }
  }
  HWY_UNROLL(4)
  for (int b = 0; b < kChannels; ++b) {
    if (first + b >= job.channels) break;
    float* HWY_RESTRICT to = job.out + (first + b) * job.out_channel;
    HWY_UNROLL(4)
    for (int j = 0; j < kCount; ++j) {
      if (T::piece_exists(kFirst + j, job.exist)) {
        put<kStream>(acc[b][j], to + T::piece_offset(kFirst + j, out_strides));
      }
    }
  }
}

template <bool kStream, TileShape kShape, int kInStep>
void block_tile(const BlockJob& job) {
  Fetcher fetcher(job.ahead, job.rows);
  for (int64_t row = 0; row < job.rows; ++row) {
    fetcher.next_channel();
    in_passes<Tile<kShape>::kPieces, kPass>([&](auto first, auto count) HWY_ATTR {
      block_row<kStream, kShape, kInStep, first(), count()>(job, row);
    });
  }
}

template <bool kStream, TileShape kShape>
void block_with_shape(const BlockJob& job) {
  job.in_strides.col == 32 ? block_tile<kStream, kShape, 2>(job)
                           : block_tile<kStream, kShape, 1>(job);
}

template <bool kStream>
void block_with_stores(const BlockJob& job) {
  switch (job.shape) {
    case TileShape::Square:
      return block_with_shape<kStream, TileShape::Square>(job);
    case TileShape::Row:
      return block_with_shape<kStream, TileShape::Row>(job);
    case TileShape::Quad:
      return block_with_shape<kStream, TileShape::Quad>(job);
    default:
      return; /* of single weights */
  }
}

void block(const BlockJob& job) {
  if (!job.stream) return block_with_stores<false>(job);
  block_with_stores<true>(job);
  finish_streaming();
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::sparse::detail {

HWY_EXPORT(block);

BlockFn block_kernel() {
  simd_target();  // chooses the target at the first call
  return HWY_DYNAMIC_DISPATCH(block);
}

}  // namespace espalier::sparse::detail
#endif
