// SPDX-License-Identifier: Apache-2.0
/// Innermost loop of the dense convolution of one sample, pixels in the lanes: a few output
/// channels x a few runs of 16 pixels stay in registers. Compiled for every SIMD target. Not a
/// public interface.
#pragma once

#include <cstdint>
#include <limits>

namespace espalier::detail {

/// Pixels of a vector.
inline constexpr int64_t kPlanesVector = 16;
/// Output channels of a tile at most; beyond kPlanesChannels only for planes of one or two vectors.
inline constexpr int kPlanesMaxChannels = 8;
inline constexpr int kPlanesChannels = 4;

/// What sums are limited to before they are stored; a NaN stays one.
struct PlanesLimits {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

/// y[b] = limited(residual[b] + factor[b] * (start[b] + sum over channels c and taps t of
/// weight[b][channels[c] * weight_channel + weight_offsets[t]] *
/// x[channels[c] * x_channel + x_offsets[t] + position])). Vectors are a grid of `rows` x `cols`,
/// one column of which is worked on at a time.
struct PlanesJob {
  const float* x;
  int64_t x_channel;
  int64_t x_pitch;  ///< floats from a row of vectors to the next
  const int32_t* channels;
  int64_t channel_count;
  const int32_t* x_offsets;
  const int32_t* weight_offsets;
  int64_t taps;
  const float* weight[kPlanesMaxChannels];
  int64_t weight_channel;
  float start[kPlanesMaxChannels];
  float factor[kPlanesMaxChannels];
  const float* residual[kPlanesMaxChannels];  ///< null: none. Lies as y does
  float* y[kPlanesMaxChannels];
  int64_t y_pitch;
  int64_t first_row, last_row;  ///< of vectors
  int64_t cols;
  /// Positions that the last row has, 1 to 16; fewer than 16 only where cols is 1.
  int64_t last_positions;
  PlanesLimits limits;
};

/// The kernel of the SIMD target in use: one job, with 1 to kPlanesMaxChannels output channels.
using PlanesFn = void (*)(const PlanesJob& job, int channels);
PlanesFn planes_kernel();

}  // namespace espalier::detail
