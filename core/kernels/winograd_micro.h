// SPDX-License-Identifier: Apache-2.0
/// The transforms of Winograd's F(2x2, 3x3) in `Nchw16n`: every number is a vector of sixteen
/// samples, so that they are plain additions without any shuffle. Compiled for every SIMD target.
/// Not a public interface.
///
/// Source: Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308,
/// section 4.1.
#pragma once

#include <cstdint>

namespace espalier::detail {

/// Numbers of a transformed tile: a 2x2 tile of outputs costs 16 products instead of 36.
inline constexpr int kWinogradPoints = 16;

/// points[j][t] = (B^T d_t B)[j] for a run of neighbouring tiles of one channel: d_t, a 4x4 tile,
/// begins two columns after d_{t-1}. Strides are in floats.
struct WinogradInput {
  const float* x;  ///< the first tile's first position; may lie outside of the plane
  int64_t row_stride;
  uint32_t inside;  ///< bit 4*row + column: the position lies in the plane; others are zero
  int64_t tiles;
  float* points;
  int64_t point_stride;
};

/// y_t = A^T m_t A + bias for such a run, of which rows x cols (1 or 2 each) lie in the plane.
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

/// The transforms of the SIMD target in use.
struct WinogradMicroKernels {
  void (*input)(const WinogradInput&);
  void (*output)(const WinogradOutput&);
  void (*gradient)(const WinogradGradient&);
};
WinogradMicroKernels winograd_micro_kernels();

/// Filters that are transformed side by side.
inline constexpr int kWinogradFilters = 64;

/// u = G g G^T of kWinogradFilters 3x3 filters side by side.
void winograd_filters(const float (&g)[9][kWinogradFilters],
                      float (&u)[kWinogradPoints][kWinogradFilters]);
/// g = G^T s G, its adjoint.
void winograd_filter_gradients(const float (&s)[kWinogradPoints][kWinogradFilters],
                               float (&g)[9][kWinogradFilters]);

}  // namespace espalier::detail
