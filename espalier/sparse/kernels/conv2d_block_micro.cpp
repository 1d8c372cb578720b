// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_block_micro.h>

#include <algorithm>

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
constexpr int kPass = pass_width(4, 3);

/// Pieces kFirst .. kFirst + kCount - 1 of a tile, for the blocks begin .. end - 1 of one row, of
/// which all channels and positions exist.
template <bool kStream, TileShape kShape, int kInStep, int kFirst, int kCount>
HWY_INLINE void block_row(const BlockJob& job, int64_t row, int64_t begin, int64_t end) {
  using T = Tile<kShape>;
  const D d;
  const TileStrides in_strides = with_step<kInStep>(job.in_strides);
  const TileStrides out_strides = with_step<1>(job.out_strides);
  const int64_t first = row * kChannels;
  float* HWY_RESTRICT out = job.out + first * job.out_channel;
  V acc[kChannels][kCount];
  if (job.accumulate) {
    HWY_UNROLL(4)
    for (int b = 0; b < kChannels; ++b) {
      HWY_UNROLL(4)
      for (int j = 0; j < kCount; ++j) {
        acc[b][j] =
            hn::Load(d, out + b * job.out_channel + T::piece_offset(kFirst + j, out_strides));
      }
    }
  } else {
    HWY_UNROLL(4)
    for (int b = 0; b < kChannels; ++b) {
      const V start = hn::Set(d, job.start != nullptr ? job.start[first + b] : 0.0f);
      HWY_UNROLL(4)
      for (int j = 0; j < kCount; ++j) acc[b][j] = start;
    }
  }
  for (int64_t i = begin; i < end; ++i) {
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
    HWY_UNROLL(4)
    for (int j = 0; j < kCount; ++j) {
      put<kStream>(acc[b][j], out + b * job.out_channel + T::piece_offset(kFirst + j, out_strides));
    }
  }
}

/// The same, one vector after the other, for the channels and positions that exist. Rare, so small
/// rather than fast: compiling every pass a second time took as long as all the rest.
template <bool kStream, TileShape kShape, int kInStep>
HWY_NOINLINE void part_of_block_row(const BlockJob& job, int64_t row, int64_t begin, int64_t end) {
  using T = Tile<kShape>;
  const D d;
  const int64_t first = row * kChannels;
  const int64_t channels = std::min<int64_t>(kChannels, job.channels - first);
  for (int piece = 0; piece < T::kPieces; ++piece) {
    if (!T::piece_exists(piece, job.exist)) continue;
    float* HWY_RESTRICT out =
        job.out + first * job.out_channel + T::piece_offset(piece, with_step<1>(job.out_strides));
    const float* HWY_RESTRICT in =
        job.in + T::piece_offset(piece, with_step<kInStep>(job.in_strides));
    V acc[kChannels];
    for (int b = 0; b < kChannels; ++b) {
      acc[b] = hn::Zero(d);
      if (b >= channels) continue;
      if (job.accumulate) acc[b] = hn::Load(d, out + b * job.out_channel);
      if (!job.accumulate && job.start != nullptr) acc[b] = hn::Set(d, job.start[first + b]);
    }
    for (int64_t i = begin; i < end; ++i) {
      const V x = hn::Load(d, in + job.offsets[i]);
      const float* HWY_RESTRICT values = job.values + i * kChannels;
      HWY_UNROLL(4)
      for (int b = 0; b < kChannels; ++b) {
        acc[b] = hn::MulAdd(hn::Set(d, values[b]), x, acc[b]);
      }
    }
    for (int b = 0; b < channels; ++b) put<kStream>(acc[b], out + b * job.out_channel);
  }
}

template <bool kStream, TileShape kShape, int kInStep>
void block_tile(const BlockJob& job) {
  const bool full = Tile<kShape>::full(job.exist);
  Fetcher fetcher(job.ahead, job.rows);
  for (int64_t row = 0; row < job.rows; ++row) {
    fetcher.next_channel();
    const int32_t* bounds = job.bounds + row * job.bounds_step;
    const int64_t begin = bounds[0];
    const int64_t end = bounds[job.parts];
    if (job.accumulate && begin == end) continue;
    const bool whole = full && (row + 1) * kChannels <= job.channels;
    if (!kPassesCaches<kStream> && full && (row + 2) * kChannels <= job.channels) {
      for (int64_t b = kChannels; b < 2 * kChannels; ++b) {
        Tile<kShape>::prefetch_to_write(job.out + (row * kChannels + b) * job.out_channel,
                                        with_step<1>(job.out_strides));
      }
    }
    if (!whole) {
      part_of_block_row<kStream, kShape, kInStep>(job, row, begin, end);
      continue;
    }
    in_passes<Tile<kShape>::kPieces, kPass>([&](auto first, auto count) HWY_ATTR {
      block_row<kStream, kShape, kInStep, first(), count()>(job, row, begin, end);
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
      break;
  }
  // Tiles of single weights, beside which some rows are blocks.
  if constexpr (!kStream) {
    switch (job.shape) {
      case TileShape::Plane:
        return block_with_shape<false, TileShape::Plane>(job);
      case TileShape::Pair:
        return block_with_shape<false, TileShape::Pair>(job);
      case TileShape::Point:
        return block_with_shape<false, TileShape::Point>(job);
      default:
        return;
    }
  }
}

int64_t vector_floats() {
  return kVector;
}

void block(const BlockJob& job) {
  if constexpr (kPassesCaches<true>) {
    if (job.stream) {
      block_with_stores<true>(job);
      return finish_streaming();
    }
  }
  block_with_stores<false>(job);
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::sparse::detail {

HWY_EXPORT(block);
HWY_EXPORT(vector_floats);

BlockKernel block_kernel() {
  simd_target();  // chooses the target at the first call
  return {HWY_DYNAMIC_DISPATCH(block), HWY_DYNAMIC_DISPATCH(vector_floats)()};
}

}  // namespace espalier::sparse::detail
#endif
