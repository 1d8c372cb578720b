// SPDX-License-Identifier: Apache-2.0
/// The innermost loops of the dense convolution in `Nchw16n`: register tiles of output channels x
/// positions (forward and backward-data) and of output channels x weight columns (backward-weight).
/// Compiled for every SIMD target. Not a public interface.
#pragma once

#include <cstdint>

namespace espalier::detail {

/// Output channels of a full tile.
inline constexpr int kTileChannels = 4;
/// Positions of a full tile, weight columns of a full tile.
inline constexpr int kTilePositions = 4;
inline constexpr int kTileColumns = 6;

/// y[b][p] (+)= sum over c, t of w[(c*taps + t)*b_count + b] * x[c][tap_offset[t] + p*x_step].
/// All pointers address vectors of 16 floats; strides and offsets are in floats.
struct TileJob {
  const float* x;
  int64_t x_channel_stride;
  int64_t x_step;  ///< between neighbouring positions
  const int64_t* tap_offsets;
  int64_t taps;
  int64_t channels;
  const float* weights;  ///< packed [channels][taps][b_count]
  float* y;
  int64_t y_channel_stride;
  int64_t y_step;
  const float* start;  ///< b_count values that the sums start from; null: from y's content
};

/// Runs a job for a row of `positions` positions and `b_count` <= kTileChannels output channels.
using RowFn = void (*)(const TileJob& job, int b_count, int64_t positions);

/// sums[b*columns + t] += sum over rows, positions and lanes of dy[b] * x[column_offset[t]].
struct ColumnJob {
  const float* dy;
  int64_t dy_channel_stride;
  int64_t dy_row_stride;
  const float* x;
  const int64_t* column_offsets;
  int64_t x_row_stride;
  int64_t x_step;
  int64_t rows;
  int64_t positions;
  float* sums;
};

/// Runs a job for b_count <= kTileChannels channels and `columns` <= kTileColumns weight columns.
using ColumnFn = void (*)(const ColumnJob& job, int b_count, int columns);

/// The kernels of the SIMD target in use.
struct ConvMicroKernels {
  RowFn row;
  ColumnFn column;
};
ConvMicroKernels conv_micro_kernels();

/// Independent multiply-adds in registers only, `iterations` times; returns the floating-point
/// operations done. Timing it gives the machine's peak, which benchmarks report shares of.
double fma_peak_loop(int64_t iterations);

}  // namespace espalier::detail
