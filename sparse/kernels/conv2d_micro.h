// SPDX-License-Identifier: Apache-2.0
/// Innermost loops of the unstructured sparse convolution in `Nchw16n`: a tile of output positions
/// stays in registers while the kept weights of one output channel pass by, each one broadcast
/// times a vector of x per position. Compiled for every SIMD target. Not a public interface.
#pragma once

#include <cstdint>

namespace espalier::sparse::detail {

/// A tile is kTileRows x kTileCols positions, or twice the rows and half the columns ("tall") for
/// planes two wide. Rows may belong to different samples.
inline constexpr int kTileRows = 4;
inline constexpr int kTileCols = 4;
inline constexpr int kTallRows = 8;
inline constexpr int kTallCols = 2;

/// A kept weight: where its input lies from a position's origin (floats), and its value.
struct Entry {
  int32_t offset;
  float value;
};

/// y[k] (+)= sum over the entries i of segment k of value_i * x[offset_i + position].
struct SegmentJob {
  const Entry* entries;
  const int64_t* bounds;  ///< segment k is entries bounds[k] .. bounds[k+1]-1
  int64_t channels;       ///< segments
  const float* x;
  const int64_t* x_rows;  ///< offset of each tile row in x
  bool step_two;          ///< positions are two vectors apart in x, else one
  float* y;
  const int64_t* y_rows;
  int64_t y_channel_stride;
  int64_t y_step;
  int rows, cols;  ///< of the tile that exist
  bool tall;
  bool accumulate;     ///< start from y's content
  const float* start;  ///< else from these, one per channel; null means zero
};
using SegmentFn = void (*)(const SegmentJob& job);

/// partials[i] += sum over positions of dy[k] * x[offset_i + position] for the entries of segment
/// k, each of the 16 lanes by itself.
struct GradientJob {
  const Entry* entries;
  const int64_t* bounds;
  int64_t channels;
  const float* x;
  const int64_t* x_rows;
  bool step_two;
  const float* dy;
  const int64_t* dy_rows;
  int64_t dy_channel_stride;
  int rows, cols;
  bool tall;
  float* partials;  ///< 16 floats per entry, counted from `entries`
};
using GradientFn = void (*)(const GradientJob& job);

/// The kernels of the SIMD target in use.
struct SparseConvKernels {
  SegmentFn segment;
  GradientFn gradient;
};
SparseConvKernels sparse_conv_kernels();

}  // namespace espalier::sparse::detail
