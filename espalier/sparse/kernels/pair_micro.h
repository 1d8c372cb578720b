// SPDX-License-Identifier: Apache-2.0
/// Innermost loop of the convolution with two output channels at a time in `Nchw16n`, for weights
/// that are dense but not in blocks (2:4 of every row): what both channels keep is read once for
/// both. Compiled for every SIMD target. Not a public interface.
#pragma once

#include <espalier/sparse/kernels/tile.h>

namespace espalier::sparse::detail {

/// The kept weights of two neighbouring channels in a block of input channels: `offsets` holds
/// those of both channels, then those of the first alone, then those of the second alone.
struct PairSegment {
  int32_t first_offset;  ///< among the offsets
  int32_t first_value;   ///< among the values: two for each offset of both, one for the others
  int32_t both, first, second;
};

/// out[2 r + c] (+)= sum over what channel c of pair r keeps of value * in[offset + position]. The
/// shape is Plane, Pair or Point; out_strides.col is 16.
struct PairJob : TileJob {
  const int32_t* offsets;
  const float* values;
  const PairSegment* segments;  ///< one for each pair
  int64_t channels;             ///< output channels: the last pair may be a single one
};
using PairFn = void (*)(const PairJob& job);

/// The kernel of the SIMD target in use.
PairFn pair_kernel();

}  // namespace espalier::sparse::detail
