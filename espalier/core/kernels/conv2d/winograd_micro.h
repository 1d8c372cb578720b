// SPDX-License-Identifier: Apache-2.0
/// The transforms of Winograd's F(2x2, 3x3) and F(4x4, 3x3) in `Nchw16n`: every number is a vector
/// of sixteen samples, so that they are plain sums without any shuffle. Compiled for every SIMD
/// target. Not a public interface.
///
/// Source: Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308,
/// section 4.1. The points of F(4x4, 3x3) are 0, 5/8, -5/8, 3/2, -3/2 and infinity, not their 0, 1,
/// -1, 2, -2: rounding errors are half as large, twice those of a direct sum (measured by
/// core/tests/winograd_test.cpp).
#pragma once

#include <cstdint>

namespace espalier::detail {

/// A tile of outputs and what it costs.
struct WinogradTile {
  int size;  ///< 2 or 4: rows and columns of outputs
  /// Rows and columns of the inputs that they need.
  constexpr int window() const { return size + 2; }
  /// Numbers of a transformed tile: 16 products for 2x2 outputs instead of 36, 36 for 4x4 instead
  /// of 144.
  constexpr int points() const { return window() * window(); }
};
/// The most numbers of a transformed tile.
inline constexpr int kMostWinogradPoints = 36;

/// points[j][t] = (B^T d_t B)[j] for a run of neighbouring tiles of one channel: the window d_t
/// begins a tile's size in columns after d_{t-1}. Strides are in floats.
struct WinogradInput {
  const float* x;  ///< the first tile's first position; may lie outside of the plane
  int64_t row_stride;
  uint64_t inside;  ///< bit window*row + column: it lies in the plane; others are zero
  int64_t tiles;
  float* points;
  int64_t point_stride;
  /// x is read as scale * x + shift, then as at least 0 when `relu` (channel_map.h).
  bool mapped = false;
  float scale = 1.0f;
  float shift = 0.0f;
  bool relu = false;
};

/// y_t = A^T m_t A + bias for such a run, of which rows x cols lie in the plane.
struct WinogradOutput {
  const float* points;
  int64_t point_stride;
  int64_t tiles;
  float bias;
  float* y;
  int64_t row_stride;
  int rows, cols;
};

/// points[j][t] = (A dy_t A^T)[j], the adjoint of the output transform.
struct WinogradGradient {
  const float* dy;
  int64_t row_stride;
  int rows, cols;
  int64_t tiles;
  float* points;
  int64_t point_stride;
};

/// Filters that are transformed side by side.
inline constexpr int kWinogradFilters = 64;

/// The transforms of one tile size. `g` [9] and `u`, `s` [points]: filters side by side.
struct WinogradMicroKernels {
  void (*input)(const WinogradInput&);
  void (*output)(const WinogradOutput&);
  void (*gradient)(const WinogradGradient&);
  /// u = G g G^T
  void (*filters)(const float (*g)[kWinogradFilters], float (*u)[kWinogradFilters]);
  /// g = G^T s G, its adjoint
  void (*filter_gradients)(const float (*s)[kWinogradFilters], float (*g)[kWinogradFilters]);
};
/// Those of the SIMD target in use.
WinogradMicroKernels winograd_micro_kernels(WinogradTile tile);

}  // namespace espalier::detail
