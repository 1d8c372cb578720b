// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/planes_micro.h>

#include <algorithm>

#include <hwy/cache_control.h>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/conv2d/planes_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/core/kernels/conv2d/planes_store-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// AVX-512 has 32 registers, the others 16: their tiles are smaller.
constexpr bool kManyRegisters = kPlanesLanes == 16;

/// kB output channels x kR rows of kC vectors. With kLine the rows follow each other.
template <int kB, int kR, int kC, bool kLine>
HWY_INLINE void planes_tile(
    const PlanesJob& job, int64_t in, int64_t out, int64_t positions, int64_t lane) {
  constexpr int kV = kR * kC;
  const PlanesD d;
  const int64_t pitch = kLine ? kPlanesVector : job.x_pitch;
  PlanesV acc[kB][kV];
  HWY_UNROLL(8)
  for (int b = 0; b < kB; ++b) {
    HWY_UNROLL(8)
    for (int v = 0; v < kV; ++v) acc[b][v] = hn::Set(d, job.start[b]);
  }
  const float* HWY_RESTRICT w[kB];
  for (int b = 0; b < kB; ++b) w[b] = job.weight[b];
  const int32_t* HWY_RESTRICT x_offsets = job.x_offsets;
  const int32_t* HWY_RESTRICT weight_offsets = job.weight_offsets;
  const int64_t taps = job.taps;
  for (int64_t c = 0; c < job.channel_count; ++c) {
    const int64_t channel = job.channels[c];
    const float* HWY_RESTRICT x = job.x + channel * job.x_channel + in;
    const int64_t filter = channel * job.weight_channel;
    for (int64_t t = 0; t < taps; ++t) {
      const float* HWY_RESTRICT at = x + x_offsets[t];
      const int64_t index = filter + weight_offsets[t];
      PlanesV xv[kV];
      HWY_UNROLL(8)
      for (int v = 0; v < kV; ++v) {
        xv[v] = hn::LoadU(d, at + v / kC * pitch + v % kC * kPlanesVector);
      }
      HWY_UNROLL(8)
      for (int b = 0; b < kB; ++b) {
        const PlanesV wv = hn::Set(d, w[b][index]);
        HWY_UNROLL(8)
        for (int v = 0; v < kV; ++v) acc[b][v] = hn::MulAdd(wv, xv[v], acc[b][v]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int b = 0; b < kB; ++b) {
    const PlanesStore to{job.y[b], job.residual[b], job.limits, job.factor[b]};
    HWY_UNROLL(8)
    for (int v = 0; v < kV; ++v) {
      const int64_t at = out + v / kC * job.y_pitch + v % kC * kPlanesVector;
      to.put(acc[b][v], at, v == kV - 1 ? positions - lane : kPlanesVector);
    }
  }
}

/// Rows of vectors from `row` on, as many whole tiles of kR as are left.
template <int kB, int kR, int kC, bool kLine>
HWY_INLINE int64_t planes_rows(const PlanesJob& job, int64_t row, int64_t col, int64_t lane) {
  const int64_t pitch = kLine ? kPlanesVector : job.x_pitch;
  for (; row + kR <= job.last_row; row += kR) {
    const int64_t positions = row + kR == job.last_row ? job.last_positions : kPlanesVector;
    planes_tile<kB, kR, kC, kLine>(job,
                                   row * pitch + col * kPlanesVector + lane,
                                   row * job.y_pitch + col * kPlanesVector + lane,
                                   positions,
                                   lane);
  }
  return row;
}

template <int kB, int kC, bool kLine>
void planes_columns(const PlanesJob& job) {
  for (int64_t lane = 0; lane < kPlanesVector; lane += kPlanesLanes) {
    for (int64_t col = 0; col < job.cols; col += kC) {
      int64_t row = job.first_row;
      if constexpr (kB <= kPlanesChannels) {
        if constexpr (kC == 1) {
          row = planes_rows<kB, 6, kC, kLine>(job, row, col, lane);
          row = planes_rows<kB, 4, kC, kLine>(job, row, col, lane);
        } else {
          row = planes_rows<kB, 3, kC, kLine>(job, row, col, lane);
        }
      }
      row = planes_rows<kB, 2, kC, kLine>(job, row, col, lane);
      planes_rows<kB, 1, kC, kLine>(job, row, col, lane);
    }
  }
}

/// Where 16 pixels are several vectors, these pieces are taken one after another, however they lie
/// in rows.
struct Piece {
  int64_t in, out;
  int64_t positions;  ///< that exist
};
HWY_INLINE Piece piece_at(const PlanesJob& job, int64_t index) {
  const int64_t per_row = job.cols * (kPlanesVector / kPlanesLanes);
  const int64_t row = job.first_row + index / per_row;
  const int64_t at = index % per_row * kPlanesLanes;
  const bool part = job.cols == 1 && row + 1 == job.last_row;
  return {row * job.x_pitch + at,
          row * job.y_pitch + at,
          part ? job.last_positions - at : kPlanesLanes};
}

// Input channels until a prefetched weight is used.
constexpr int64_t kAhead = 20;

/// Output channels first .. first + kB - 1 on kV pieces from `index` on.
template <int kB, int kV>
void pieces_tile(const PlanesJob& job, int first, int64_t index) {
  const PlanesD d;
  Piece pieces[kV];
  for (int v = 0; v < kV; ++v) pieces[v] = piece_at(job, index + v);
  const float* HWY_RESTRICT w[kB];
  PlanesV acc[kB][kV];
  HWY_UNROLL(8)
  for (int b = 0; b < kB; ++b) {
    w[b] = job.weight[first + b];
    HWY_UNROLL(8)
    for (int v = 0; v < kV; ++v) acc[b][v] = hn::Set(d, job.start[first + b]);
  }
  const int32_t* HWY_RESTRICT x_offsets = job.x_offsets;
  const int32_t* HWY_RESTRICT weight_offsets = job.weight_offsets;
  for (int64_t c = 0; c < job.channel_count; ++c) {
    const int64_t channel = job.channels[c];
    const float* HWY_RESTRICT x = job.x + channel * job.x_channel;
    const int64_t filter = channel * job.weight_channel;
    if constexpr (kV <= 2) {
      // Small planes belong to large weights, and listed channels lie where no prefetcher looks.
      const int64_t next = job.channels[std::min(c + kAhead, job.channel_count - 1)];
      HWY_UNROLL(8)
      for (int b = 0; b < kB; ++b) {
        hwy::Prefetch(w[b] + next * job.weight_channel);
        hwy::Prefetch(w[b] + next * job.weight_channel + job.weight_channel - 1);
      }
    }
    for (int64_t t = 0; t < job.taps; ++t) {
      const float* HWY_RESTRICT at = x + x_offsets[t];
      const int64_t weight = filter + weight_offsets[t];
      PlanesV xv[kV];
      HWY_UNROLL(8)
      for (int v = 0; v < kV; ++v) xv[v] = hn::LoadU(d, at + pieces[v].in);
      HWY_UNROLL(8)
      for (int b = 0; b < kB; ++b) {
        const PlanesV wv = hn::Set(d, w[b][weight]);
        HWY_UNROLL(8)
        for (int v = 0; v < kV; ++v) acc[b][v] = hn::MulAdd(wv, xv[v], acc[b][v]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int b = 0; b < kB; ++b) {
    const PlanesStore to{
        job.y[first + b], job.residual[first + b], job.limits, job.factor[first + b]};
    HWY_UNROLL(8)
    for (int v = 0; v < kV; ++v) to.put(acc[b][v], pieces[v].out, pieces[v].positions);
  }
}

/// Pieces that hold a position.
HWY_INLINE int64_t pieces_of(const PlanesJob& job) {
  const int64_t all = (job.last_row - job.first_row) * job.cols * (kPlanesVector / kPlanesLanes);
  return all - (kPlanesVector - job.last_positions) / kPlanesLanes;
}

/// All pieces of kB output channels, three at a time and what is left: twelve sums with four
/// channels.
template <int kB>
void pieces_of_channels(const PlanesJob& job, int first) {
  const int64_t pieces = pieces_of(job);
  int64_t index = 0;
  for (; index + 3 <= pieces; index += 3) pieces_tile<kB, 3>(job, first, index);
  if (pieces - index == 2) pieces_tile<kB, 2>(job, first, index);
  if (pieces - index == 1) pieces_tile<kB, 1>(job, first, index);
}

void dense_pieces(const PlanesJob& job, int channels) {
  int first = 0;
  // With one piece, four sums would wait for each other.
  if (pieces_of(job) == 1) {
    for (; first + 8 <= channels; first += 8) pieces_tile<8, 1>(job, first, 0);
  }
  for (; first + 4 <= channels; first += 4) pieces_of_channels<4>(job, first);
  switch (channels - first) {
    case 1:
      return pieces_of_channels<1>(job, first);
    case 2:
      return pieces_of_channels<2>(job, first);
    case 3:
      return pieces_of_channels<3>(job, first);
    default:
      return;
  }
}

template <int kB>
void planes_tiles(const PlanesJob& job) {
  if (job.cols == 1 && job.x_pitch == kPlanesVector) return planes_columns<kB, 1, true>(job);
  if (job.cols % 2 == 0) return planes_columns<kB, 2, false>(job);
  planes_columns<kB, 1, false>(job);
}

// A template, so that each target has the tiles for its registers alone.
template <bool kMany>
void dense_planes_with(const PlanesJob& job, int channels) {
  if constexpr (!kMany) {
    dense_pieces(job, channels);
  } else {
    switch (channels) {
      case 1:
        return planes_tiles<1>(job);
      case 2:
        return planes_tiles<2>(job);
      case 3:
        return planes_tiles<3>(job);
      case 4:
        return planes_tiles<4>(job);
      case 5:
        return planes_columns<5, 1, true>(job);
      case 6:
        return planes_columns<6, 1, true>(job);
      case 7:
        return planes_columns<7, 1, true>(job);
      default:
        return planes_columns<8, 1, true>(job);
    }
  }
}

void dense_planes(const PlanesJob& job, int channels) {
  dense_planes_with<kManyRegisters>(job, channels);
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(dense_planes);

PlanesFn planes_kernel() {
  simd_target();  // chooses the target at the first call
  return HWY_DYNAMIC_DISPATCH(dense_planes);
}

}  // namespace espalier::detail
#endif
