// SPDX-License-Identifier: Apache-2.0
/// Dense 3x3 convolution of one sample by Winograd's algorithm: sixteen tiles of a plane stand in
/// the lanes, so that the transforms are those of `Nchw16n` (winograd_micro.h). Planes with too few
/// tiles, and filters that are no 3x3, run by planes.h. Not a public interface.
///
/// Source: Lavin, Gray, arXiv 1509.09308, section 4.
#pragma once

#include <vector>

#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/planes.h>
#include <espalier/core/kernels/conv2d/winograd_micro.h>

namespace espalier::detail {

/// Where the rows of a plane lie while its tiles are cut out: those of one remainder by the tile's
/// size follow each other, so that tiles of neighbouring rows do; each twice, the second time from
/// a tile's size further on. Vectors at a row's end may reach into the next.
struct WinogradRows {
  int64_t length;     ///< floats of a row: all tiles, a tile's size each
  int64_t remainder;  ///< floats from the rows of one remainder to those of the next
  int64_t shifted;    ///< floats to the second copies
};

/// A plane's rows to their places, zeros around it. kPlanesSlack floats before and behind `x` are
/// read.
struct WinogradRowsInput {
  const float* x;
  int64_t height, width;
  int64_t padding_h, padding_w;
  int64_t rows;  ///< of the copies, from the padding's first on
  WinogradRows place;
  float* to;
};

/// points[j][t] = (B^T d_t B)[j] for sixteen tiles of one channel.
struct WinogradTilesInput {
  const float* rows;  ///< of remainder 0, at the first tile
  WinogradRows place;
  float* points;
  int64_t point_stride;
};

/// A^T m_t A + bias for such tiles, as rows: [row][tile][column].
struct WinogradTilesOutput {
  const float* points;
  int64_t point_stride;
  float bias;
  float* rows;
};

/// Inner loops of one tile size, for the SIMD target in use.
struct WinogradPlanesKernels {
  void (*rows)(const WinogradRowsInput& job);
  void (*input)(const WinogradTilesInput& job);
  void (*output)(const WinogradTilesOutput& job);
  /// y = limited(sums + residual), `count` floats of a plane; a null residual is none.
  void (*finish)(const float* sums,
                 const float* residual,
                 const PlanesLimits& limits,
                 int64_t count,
                 float* y);
};
WinogradPlanesKernels winograd_planes_kernels(WinogradTile tile);

/// The convolution with its filters transformed at construction; runs in tasks as DensePlanes does.
class WinogradPlanes {
 public:
  /// The size of tiles that does the fewest products, as far as `set_conv2d_algorithm` leaves a
  /// choice; 0 where direct sums do fewer, or the shape is none that can be done.
  static int tile_size(const Conv2dShape& shape);
  WinogradPlanes(const Conv2dShape& shape, WinogradTile tile, const float* weight);

  /// Floats of the scratch between `fill` and `run`, 64-byte aligned.
  int64_t scratch_size() const { return tile_.points() * point_stride_; }
  /// Transforms the input: a task is a few input channels.
  int64_t fill_tasks() const;
  void fill(int64_t task, const float* x, float* scratch) const;
  /// Products and results: a task is a few output channels.
  int64_t tasks() const;
  /// `operands.weight` is not used.
  void run(int64_t task, const PlanesOperands& operands, const float* scratch) const;
  int64_t nbytes() const { return filters_.nbytes(); }

 private:
  void fill_channel(const float* x, float* points) const;
  void place(const float* rows, int64_t group, float* plane) const;

  Conv2dShape shape_;
  WinogradTile tile_;
  int64_t tile_rows_, tile_cols_;
  int64_t groups_;  // of sixteen tiles
  WinogradRows rows_;
  int64_t channel_stride_, point_stride_;  // of the transformed input
  std::vector<int64_t> offsets_;           // of its channels
  Tensor filters_;
  ConvMicroKernels products_ = conv_micro_kernels();
  WinogradPlanesKernels kernels_;
};

}  // namespace espalier::detail
