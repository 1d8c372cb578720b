// SPDX-License-Identifier: Apache-2.0
/// Innermost loop of both gradients with blocks of four output channels in `Nchw16n`: the vectors
/// of dy of four channels x four positions stay in registers; every block meets one vector of x and
/// one of dx for each position, which serve eight products. dx is scattered to, so that the
/// forward order of blocks serves the backward pass too. Compiled for every SIMD target. Not a
/// public interface.
#pragma once

#include <espalier/sparse/kernels/tile.h>

namespace espalier::sparse::detail {

/// In the scratch every position holds its vector of x, then its vector of dx.
inline constexpr int64_t kPairFloats = 32;

/// For each block i of row r and each position p: dx[offsets[i] + p] += sum over b of
/// values[4 i + b] * dy[4 r + b][p], and partials[4 i + b] += x[offsets[i] + p] * dy[4 r + b][p],
/// for each of the 16 lanes by itself.
struct BlockBackwardJob {
  const int32_t* offsets;  ///< of pairs in the scratch, from a position's origin
  const float* values;     ///< four for each block; null: dx is not wanted
  /// Row r has the blocks bounds[r * bounds_step] .. bounds[r * bounds_step + parts] - 1.
  const int32_t* bounds;
  int64_t bounds_step, parts;
  int64_t rows;      ///< rows of blocks
  int64_t channels;  ///< output channels: the last row may have fewer than four
  TileShape shape;   ///< Square, Row or Quad
  TileSize exist;    ///< beyond, dy counts as zero and the scratch must be readable and finite
  const float* dy;
  TileStrides dy_strides;  ///< dy_strides.col is 16
  int64_t dy_channel;
  int64_t next_tile;  ///< distance of the dy that is read next, 0: none
  float* scratch;
  TileStrides scratch_strides;  ///< scratch_strides.col is kPairFloats or twice that
  float* partials;              ///< 16 floats per weight; null: dw is not wanted
  int64_t first_block;          ///< the block that `partials` begins with
  Ahead ahead;
};
using BlockBackwardFn = void (*)(const BlockBackwardJob& job);

/// A plane of x or dx (h x w vectors) and its place in the scratch: `cols` pairs a row, of which
/// the first is the plane's (first_row, first_col).
struct BlockPlane {
  int64_t h, w;
  int64_t first_row, first_col;
  int64_t rows, cols;
};
/// x is read as scale * x + shift, then as at least 0 when `relu` (core/kernels/channel_map.h).
struct BlockMap {
  float scale, shift;
  bool relu;
};
/// dx is written where x, filled through a map with a ReLU, is more than 0, else 0; 16 sums of it
/// and 16 of it times x - center, with x as it is in memory, are added to `sums`.
struct BlockGate {
  const float* x;
  float center;
  float* sums;
};
/// Fills the rows begin .. rows of a scratch with x (null: zeros), through `map` unless that is
/// null, and zeros for dx.
using BlockFillFn = void (*)(
    const BlockPlane& plane, const float* x, const BlockMap* map, int64_t begin, float* scratch);
/// How a scratch of dx comes to memory: over what is there, the same past the caches, or added.
enum class Emission : uint8_t { Store, Stream, Add };
/// Writes dx's rows begin .. end - 1, counted in the scratch, as far as the plane has them; zeros
/// where the scratch has no position. `gate` may be null, and is with Emission::Add.
using BlockEmitFn = void (*)(const BlockPlane& plane,
                             const float* scratch,
                             int64_t begin,
                             int64_t end,
                             float* dx,
                             Emission how,
                             const BlockGate* gate);

/// The kernels of the SIMD target in use.
struct BlockBackwardKernels {
  BlockBackwardFn backward;
  BlockFillFn fill;
  BlockEmitFn emit;
};
BlockBackwardKernels block_backward_kernels();

}  // namespace espalier::sparse::detail
