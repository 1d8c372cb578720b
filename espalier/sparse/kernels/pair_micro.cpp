// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/pair_micro.h>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/sparse/kernels/pair_micro.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/sparse/kernels/tile-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::sparse::detail::HWY_NAMESPACE {

// Vectors at a time: their sums for both channels, two weights and the input stay in the 32
// registers of AVX-512, or 16 of the others.
constexpr int kPass = pass_width(8, 6);

/// Pieces kFirst .. kFirst + kCount - 1 of a tile of one channel.
template <TileShape kShape, int kFirst, int kCount>
struct Sums {
  using T = Tile<kShape>;
  V v[kCount];

  HWY_INLINE void set(V value) {
    HWY_UNROLL(8)
    for (int j = 0; j < kCount; ++j) v[j] = value;
  }
  HWY_INLINE void load(const float* at, const TileStrides& s, const TileSize& exist, bool full) {
    HWY_UNROLL(8)
    for (int j = 0; j < kCount; ++j) {
      v[j] = full || T::piece_exists(kFirst + j, exist)
                 ? hn::Load(D(), at + T::piece_offset(kFirst + j, s))
                 : hn::Zero(D());
    }
  }
  template <bool kStream>
  HWY_INLINE void store(float* at, const TileStrides& s, const TileSize& exist, bool full) const {
    HWY_UNROLL(8)
    for (int j = 0; j < kCount; ++j) {
      if (full || T::piece_exists(kFirst + j, exist)) {
        put<kStream>(v[j], at + T::piece_offset(kFirst + j, s));
      }
    }
  }
  HWY_INLINE void add(V weight, const float* HWY_RESTRICT at, const TileStrides& s) {
    HWY_UNROLL(8)
    for (int j = 0; j < kCount; ++j) {
      v[j] = hn::MulAdd(weight, hn::Load(D(), at + T::piece_offset(kFirst + j, s)), v[j]);
    }
  }
};

template <bool kStream, TileShape kShape, int kInStep, int kFirst, int kCount>
HWY_INLINE void pair_of_channels(const PairJob& job, int64_t pair, bool full) {
  using S = Sums<kShape, kFirst, kCount>;
  using T = Tile<kShape>;
  const D d;
  const TileStrides in_strides = with_step<kInStep>(job.in_strides);
  const TileStrides out_strides = with_step<1>(job.out_strides);
  const PairSegment& segment = job.segments[pair];
  const bool single = 2 * pair + 1 >= job.channels;
  float* out[2];
  S sums[2];
  for (int c = 0; c < 2; ++c) {
    // The channel that does not exist is computed as the first again, and not stored.
    const int64_t channel = 2 * pair + (single ? 0 : c);
    out[c] = job.out + channel * job.out_channel;
    if (job.accumulate) {
      sums[c].load(out[c], out_strides, job.exist, full);
    } else {
      sums[c].set(hn::Set(d, job.start != nullptr ? job.start[channel] : 0.0f));
    }
  }
  const float* HWY_RESTRICT in = job.in;
  const int32_t* HWY_RESTRICT offset = job.offsets + segment.first_offset;
  const float* HWY_RESTRICT value = job.values + segment.first_value;
  for (int32_t i = 0; i < segment.both; ++i, ++offset, value += 2) {
    const float* HWY_RESTRICT at = in + *offset;
    const V w0 = hn::Set(d, value[0]);
    const V w1 = hn::Set(d, value[1]);
    HWY_UNROLL(8)
    for (int j = 0; j < kCount; ++j) {
      const V x = hn::Load(d, at + T::piece_offset(kFirst + j, in_strides));
      sums[0].v[j] = hn::MulAdd(w0, x, sums[0].v[j]);
      sums[1].v[j] = hn::MulAdd(w1, x, sums[1].v[j]);
    }
  }
  for (int32_t i = 0; i < segment.first; ++i, ++offset, ++value) {
    sums[0].add(hn::Set(d, *value), in + *offset, in_strides);
  }
  for (int32_t i = 0; i < segment.second; ++i, ++offset, ++value) {
    sums[1].add(hn::Set(d, *value), in + *offset, in_strides);
  }
  sums[0].template store<kStream>(out[0], out_strides, job.exist, full);
  if (!single) sums[1].template store<kStream>(out[1], out_strides, job.exist, full);
}

template <bool kStream, TileShape kShape, int kInStep>
void pair_tile(const PairJob& job) {
  const bool full = Tile<kShape>::full(job.exist);
  const int64_t pairs = (job.channels + 1) / 2;
  Fetcher fetcher(job.ahead, pairs);
  for (int64_t pair = 0; pair < pairs; ++pair) {
    fetcher.next_channel();
    in_passes<Tile<kShape>::kPieces, kPass>([&](auto first, auto count) HWY_ATTR {
      pair_of_channels<kStream, kShape, kInStep, first(), count()>(job, pair, full);
    });
  }
}

template <bool kStream, TileShape kShape>
void pair_with_shape(const PairJob& job) {
  job.in_strides.col == 32 ? pair_tile<kStream, kShape, 2>(job)
                           : pair_tile<kStream, kShape, 1>(job);
}

template <bool kStream>
void pair_with_stores(const PairJob& job) {
  switch (job.shape) {
    case TileShape::Plane:
      return pair_with_shape<kStream, TileShape::Plane>(job);
    case TileShape::Pair:
      return pair_with_shape<kStream, TileShape::Pair>(job);
    case TileShape::Point:
      return pair_with_shape<kStream, TileShape::Point>(job);
    default:
      return; /* of blocks */
  }
}

void pairs(const PairJob& job) {
  if constexpr (kPassesCaches<true>) {
    if (job.stream) {
      pair_with_stores<true>(job);
      return finish_streaming();
    }
  }
  pair_with_stores<false>(job);
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::sparse::detail {

HWY_EXPORT(pairs);

PairFn pair_kernel() {
  simd_target();  // chooses the target at the first call
  return HWY_DYNAMIC_DISPATCH(pairs);
}

}  // namespace espalier::sparse::detail
#endif
