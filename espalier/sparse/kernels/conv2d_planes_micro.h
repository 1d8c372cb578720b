// SPDX-License-Identifier: Apache-2.0
/// Innermost loops of sparse convolutions of one sample, pixels in the lanes: one output channel,
/// or a block of four, on a tile of runs of 16 pixels in registers, while its kept weights pass by.
/// Compiled for every SIMD target. Not a public interface.
#pragma once

#include <cstdint>

#include <espalier/core/kernels/conv2d/planes_micro.h>

namespace espalier::sparse::detail {

/// y[k] = limited(start[k] + residual[k] + sum over entries i of row k of values[i] *
/// x[offsets[i] + position]), for rows [first, last). With blocks a row is four output channels,
/// and an entry has four values. Vectors as in PlanesJob of core.
struct SparsePlanesJob {
  const int32_t* offsets;
  const float* values;
  const int32_t* bounds;  ///< of rows among the entries
  int64_t first, last;
  int64_t channels;  ///< output channels: the last block may have fewer than four
  const float* x;
  int64_t x_pitch;
  float* y;
  int64_t y_channel;  ///< floats between output channels
  int64_t y_pitch;
  const float* start;     ///< one for each output channel; null means zero
  const float* residual;  ///< null: none
  int64_t first_row, last_row;
  int64_t cols;
  int64_t last_positions;
  espalier::detail::PlanesLimits limits;
};
using SparsePlanesFn = void (*)(const SparsePlanesJob& job);

/// Rows of vectors that a tile of one column has at most.
inline constexpr int64_t kSparsePlanesRows = 8;

/// The kernels of the SIMD target in use.
SparsePlanesFn sparse_planes_kernel();
SparsePlanesFn block_planes_kernel();

}  // namespace espalier::sparse::detail
