// SPDX-License-Identifier: Apache-2.0
/// Tiles of the sparse convolutions: how many output positions stay in registers, where they lie,
/// and what is fetched meanwhile. Not a public interface.
#pragma once

#include <cstdint>

namespace espalier::sparse::detail {

/// Shapes of a tile, in vectors of 16 samples: images x rows x columns. Eight vectors were at least
/// as fast as sixteen at every density (0.4 to 0.02, Zen 4): what a block of channels puts before
/// them is smaller, and L1 is what limits these loops.
enum class TileShape : uint8_t {
  Plane,  ///< 1 x 2 x 4
  Pair,   ///< 2 x 2 x 2, for planes two wide
  Point,  ///< 8 x 1 x 1, for planes of one position
  // Of blocks of four output channels, which multiply the registers:
  Square,  ///< 1 x 2 x 2
  Quad,    ///< 4 x 1 x 1, for planes of one position
  Row,     ///< 1 x 1 x 4, for small planes: whole rows of taps lie outside at their edges
};
struct TileSize {
  int images, rows, cols;
};
constexpr TileSize tile_size(TileShape shape) {
  return shape == TileShape::Plane    ? TileSize{1, 2, 4}
         : shape == TileShape::Pair   ? TileSize{2, 2, 2}
         : shape == TileShape::Point  ? TileSize{8, 1, 1}
         : shape == TileShape::Square ? TileSize{1, 2, 2}
         : shape == TileShape::Row    ? TileSize{1, 1, 4}
                                      : TileSize{4, 1, 1};
}

/// Distances between neighbouring positions of a tile, in floats.
struct TileStrides {
  int64_t image, row, col;
};

/// Memory that will be read soon, fetched towards L2 a few lines at a time beside the arithmetic:
/// `runs` runs of `run_lines` lines of 64 bytes, `run_stride` floats apart.
struct Ahead {
  const float* from = nullptr;
  int64_t run_lines = 0;
  int64_t runs = 0;
  int64_t run_stride = 0;
};

/// One call of a forward kernel: a tile of positions of all output channels. `out` becomes `start`,
/// or what it holds with `accumulate`, plus products of kept weights and `in`.
struct TileJob {
  TileShape shape;
  TileSize exist;  ///< the part of the tile that exists; what lies beyond must be readable in `in`
  const float* in;
  TileStrides in_strides;  ///< in_strides.col is 16 or 32
  float* out;
  TileStrides out_strides;
  int64_t out_channel;           ///< distance of channels in `out`
  bool accumulate = false;       ///< start from the content of `out`
  const float* start = nullptr;  ///< else from these, one per channel; null means zero
  bool stream = false;           ///< writes `out` past the caches: it is not read soon
  Ahead ahead;
};

}  // namespace espalier::sparse::detail
