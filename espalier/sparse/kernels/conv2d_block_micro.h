// SPDX-License-Identifier: Apache-2.0
/// Innermost loop of the convolution with blocks of four output channels in `Nchw16n`: four
/// channels x four positions stay in registers, and every vector of the input meets four weights.
/// Compiled for every SIMD target. Not a public interface.
#pragma once

#include <espalier/sparse/kernels/tile.h>

namespace espalier::sparse::detail {

/// out[4 r + b] (+)= sum over the blocks i of row r of values[4 i + b] * in[offsets[i] +
/// position]. out_strides.col is 16. Tiles of single weights (Plane, Pair, Point) don't stream.
struct BlockJob : TileJob {
  const int32_t* offsets;
  const float* values;  ///< four for each block
  /// Row r has the blocks bounds[r * bounds_step] .. bounds[r * bounds_step + parts] - 1.
  const int32_t* bounds;
  int64_t bounds_step, parts;
  int64_t rows;      ///< rows of blocks
  int64_t channels;  ///< output channels: the last row may have fewer than four
};
using BlockFn = void (*)(const BlockJob& job);

/// The kernel of the SIMD target in use, and how many floats its vectors have.
struct BlockKernel {
  BlockFn run;
  int64_t vector;
};
BlockKernel block_kernel();

}  // namespace espalier::sparse::detail
