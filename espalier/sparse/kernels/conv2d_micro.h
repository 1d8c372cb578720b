// SPDX-License-Identifier: Apache-2.0
/// Innermost loops of the unstructured sparse convolution in `Nchw16n`. A tile of eight positions
/// stays in registers while the kept weights of one channel pass by, each one broadcast times a
/// vector per position. Compiled for every SIMD target. Not a public interface.
#pragma once

#include <espalier/sparse/kernels/tile.h>

namespace espalier::sparse::detail {

/// Kept weights in the order of use: weight i meets the input at offsets[i] floats from a
/// position's origin; channel k has the weights bounds[k] .. bounds[k+1]-1.
struct Entries {
  const int32_t* offsets;
  const float* values;
  const int32_t* bounds;
  int64_t channels;
};

/// out[k] (+)= sum over the entries i of channel k of values[i] * in[offsets[i] + position]. The
/// shape is Plane, Pair or Point; out_strides.col is 16, or 32 when that of `in` is 16.
struct ForwardJob : TileJob {
  Entries entries;
};
using ForwardFn = void (*)(const ForwardJob& job);

/// Both gradients in one pass over dy: dx[k] (+)= sum of values[i] * dy[offsets[i] + position], and
/// partials[i] += sum over positions of x[k][position] * dy[offsets[i] + position], for each of the
/// 16 lanes by itself. Here channel k is an input channel of the layer, and dy must be finite
/// beyond the part that exists.
struct BackwardJob {
  Entries entries;  ///< values may be null when dx is
  TileShape shape;
  TileSize exist;
  const float* dy;
  TileStrides dy_strides;  ///< dy_strides.col is 16
  const float* x;
  /// x is read through these, one number a channel (core/kernels/channel_map.h); null: as it is.
  const float* x_scale = nullptr;
  const float* x_shift = nullptr;
  bool x_relu = false;
  /// With a map with a ReLU: dx is written where that gave more than 0, else 0, and for each
  /// channel 16 sums of it and 16 of it times x - center are added to `sums` (32 floats). Null:
  /// not.
  float* sums = nullptr;
  const float* center = nullptr;
  float* dx;              ///< null: the weight's gradient only
  TileStrides x_strides;  ///< x_strides.col is 16 or 32
  int64_t x_channel;
  bool accumulate;
  bool stream = false;    ///< writes `dx` past the caches
  float* partials;        ///< 16 floats per entry
  int64_t first_partial;  ///< the entry that `partials` begins with
  Ahead ahead;
};
using BackwardFn = void (*)(const BackwardJob& job);

/// The kernels of the SIMD target in use.
struct SparseConvKernels {
  ForwardFn forward;
  BackwardFn backward;
};
SparseConvKernels sparse_conv_kernels();

}  // namespace espalier::sparse::detail
