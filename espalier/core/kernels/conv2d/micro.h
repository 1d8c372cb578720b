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

/// y[b][p] (+)= sum over c, t of w[c*weight_channel_stride + t*b_count + b] * x[c][tap_offsets[t] +
/// p*x_step]. All pointers address vectors of 16 floats; strides and offsets are in floats.
struct TileJob {
  const float* x;
  int64_t x_channel_stride;
  int64_t x_step;  ///< between neighbouring positions
  const int64_t* tap_offsets;
  int64_t taps;
  int64_t channels;
  const float* weights;
  int64_t weight_channel_stride;
  float* y;
  int64_t y_channel_stride;
  int64_t y_step;
  const float* start;  ///< b_count values that the sums start from; null: from y's content
};

/// Runs a job for a row of `positions` positions and `b_count` <= kTileChannels output channels.
using RowFn = void (*)(const TileJob& job, int b_count, int64_t positions);

/// y[b][p] = sum over i of weights[b][picked[i]] * x[i][p]: a product with some of a matrix's
/// columns, whose vectors of 16 floats stand side by side. Strides are in floats.
struct PickedJob {
  const float* x;
  int64_t x_stride;  ///< between picked columns
  const int32_t* picked;
  int64_t count;  ///< of picked
  const float* weights[kTileChannels];
  float* y;
  int64_t y_stride;  ///< between b
};

/// Runs a job for neighbouring `positions` and `b_count` <= kTileChannels rows.
using PickedFn = void (*)(const PickedJob& job, int b_count, int64_t positions);

/// sums[b*columns + t] = sum over images, rows and positions of dy[b] * x[column_offsets[t]], for
/// each of the 16 lanes by itself.
struct ColumnJob {
  const float* dy;
  int64_t dy_channel_stride;
  int64_t dy_row_stride;
  int64_t dy_image_stride;
  const float* x;
  const int64_t* column_offsets;
  int64_t x_row_stride;
  int64_t x_image_stride;
  int64_t x_step;
  int64_t images;
  int64_t rows;
  int64_t positions;
  float* sums;  ///< vectors of 16 floats
};

/// Runs a job for b_count <= kTileChannels channels and `columns` <= kTileColumns weight columns.
using ColumnFn = void (*)(const ColumnJob& job, int b_count, int columns);

/// out[i] = sum of the 16 floats at vectors + 16*i, i < count.
using LaneSumFn = void (*)(const float* vectors, int64_t count, float* out);

/// The kernels of the SIMD target in use.
struct ConvMicroKernels {
  RowFn row;
  ColumnFn column;
  PickedFn picked;
  LaneSumFn lane_sum;
};
ConvMicroKernels conv_micro_kernels();

/// Independent multiply-adds in registers only, `iterations` times; returns the floating-point
/// operations done. Timing it gives the machine's peak, which benchmarks report shares of.
double fma_peak_loop(int64_t iterations);

}  // namespace espalier::detail
