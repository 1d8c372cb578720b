// SPDX-License-Identifier: Apache-2.0
/// The two inner loops of int8_conv2d: activations to bytes, and a tile of output. Not a public
/// interface.
#pragma once

#include <cstdint>

namespace espalier::sparse::detail {

/// Sixteen lanes of four channels.
inline constexpr int64_t kVectorBytes = 64;
/// Positions of a row whose sums stay in registers.
inline constexpr int kTilePositions = 8;

/// One output channel at up to kTilePositions positions of a row.
struct Int8Tile {
  const uint8_t* in;       ///< of the first position
  int64_t step;            ///< bytes from one position's input to the next one's
  const int32_t* offsets;  ///< of each block, in bytes from a position's input
  const int32_t* weights;  ///< of each block, four int8
  int32_t count;           ///< of blocks
  int32_t start;           ///< the sum's first value: -zero * sum of weights
  float scale;             ///< of the sum
  float bias;
  int lanes;   ///< samples that exist; the others get 0
  float* out;  ///< of the first position, 16 floats each
};

/// True where vpdpbusd exists and ESPALIER_SIMD does not forbid it.
bool has_vnni();

void int8_tile(const Int8Tile& tile, int positions);

/// A row of `width` positions: four channels (missing ones become 0) of sixteen lanes each,
/// `channel_stride` floats apart, to bytes in the order [position][lane][channel].
void quantize_row(const float* in,
                  int64_t channel_stride,
                  int channels,
                  int64_t width,
                  float inverse_scale,
                  int32_t zero,
                  uint8_t* out);

/// By plain loops: what runs where there is no VNNI, and the tests' comparison.
void int8_tile_portable(const Int8Tile& tile, int positions);
void quantize_row_portable(const float* in,
                           int64_t channel_stride,
                           int channels,
                           int64_t width,
                           float inverse_scale,
                           int32_t zero,
                           uint8_t* out);

}  // namespace espalier::sparse::detail
