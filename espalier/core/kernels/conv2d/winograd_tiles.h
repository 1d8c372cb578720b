// SPDX-License-Identifier: Apache-2.0
/// Winograd's algorithm for 3x3 filters over whole planes in `Nchw16n`, cut into tasks of a few
/// tiles, with filters transformed beforehand and scratch from the caller. What the training ops
/// and an inference plan share. Not a public interface.
///
/// Source: Lavin, Gray, arXiv 1509.09308, section 4.
#pragma once

#include <array>
#include <span>
#include <vector>

#include <espalier/core/kernels/channel_map.h>
#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/kernels/conv2d/strips.h>
#include <espalier/core/kernels/conv2d/winograd_micro.h>

namespace espalier::detail {

/// A stack of planes in sixteen lanes.
struct Planes {
  int64_t channels, h, w;
  int64_t plane() const { return h * w * kLanes; }
};

/// A plane cut into tiles, of which those of all blocks of samples are numbered through.
struct Tiling {
  WinogradTile tile;
  int64_t rows, cols;  ///< of tiles
  Tiling(int64_t h, int64_t w, WinogradTile of)
      : tile(of), rows(ceil_div(h, of.size)), cols(ceil_div(w, of.size)) {}
  int64_t total(int64_t blocks) const { return blocks * rows * cols; }

  /// Neighbouring tiles of one row that meet the planes' edges in the same way.
  struct Run {
    int64_t block, row, col;  ///< of the first tile's first position
    int64_t first, tiles;     ///< first: among the tiles of the task
    int height, width;        ///< of the part of each tile that exists
    uint64_t inside;          ///< inputs that exist: bit window*row + column
  };
};

/// Where transformed tiles lie: [point][channel][tile], in vectors.
struct PointStrides {
  int64_t points;          ///< of a tile
  int64_t channel, point;  ///< in floats
  PointStrides(WinogradTile tile, int64_t channels, int64_t tiles);
  int64_t size() const { return points * point; }
};

/// The tiles of a convolution. `top`, `left`: of a tile's inputs relative to its outputs.
struct TiledPlanes {
  Planes in, out;
  int64_t top, left;
  Tiling tiling;

  TiledPlanes(const Planes& input,
              const Planes& output,
              int64_t top_input,
              int64_t left_input,
              WinogradTile tile)
      : in(input), out(output), top(top_input), left(left_input), tiling(out.h, out.w, tile) {}
  using Runs = std::span<const Tiling::Run>;
  /// Tiles first..last-1 as runs, written to `room` for at least so many; returns the part in use.
  Runs runs(int64_t first, int64_t last, std::span<Tiling::Run> room) const;

  // The transforms go channel by channel, so that few pages are written at a time; `points` begins
  // with the first tile of the runs.
  void transform_inputs(const WinogradMicroKernels& kernels,
                        const MappedFloats& x,
                        Runs runs,
                        int64_t from,
                        int64_t to,
                        const PointStrides& strides,
                        float* points) const;
  void transform_gradients(const WinogradMicroKernels& kernels,
                           const float* dy,
                           Runs runs,
                           int64_t from,
                           int64_t to,
                           const PointStrides& strides,
                           float* points) const;
  /// `bias` may be null.
  void transform_outputs(const WinogradMicroKernels& kernels,
                         const float* points,
                         Runs runs,
                         const PointStrides& strides,
                         const float* bias,
                         float* y) const;

  // The same for channel `c` alone; `points`: of that channel.
  void transform_input(const WinogradMicroKernels& kernels,
                       const MappedFloats& x,
                       Runs runs,
                       int64_t c,
                       int64_t point_stride,
                       float* points) const;
  void transform_output(const WinogradMicroKernels& kernels,
                        const float* points,
                        Runs runs,
                        int64_t c,
                        int64_t point_stride,
                        float bias,
                        float* y) const;
};

/// Channels that take part in a correlation, ascending: others' inputs are taken for zero, others'
/// outputs are not written.
struct WinogradChannels {
  std::span<const int32_t> in, out;
};

/// The correlation of planes with 3x3 filters.
class WinogradCorrelation {
 public:
  /// `blocks`: the most blocks of 16 samples that will run at once; few are cut finer.
  WinogradCorrelation(const TiledPlanes& planes, int64_t blocks);
  /// The forward pass of a convolution.
  static WinogradCorrelation forward(const Conv2dShape& shape, WinogradTile tile, int64_t blocks);
  /// The one that gives dx from dy: its filters are turned by 180 degrees.
  static WinogradCorrelation backward_data(const Conv2dShape& shape,
                                           WinogradTile tile,
                                           int64_t blocks);

  int64_t tasks(int64_t blocks) const;
  /// Rows and columns of a tile.
  int64_t tile_size() const { return planes_.tiling.tile.size; }
  /// Floats of scratch that a running task needs.
  int64_t scratch_size() const { return inputs_.size() + products_.size(); }

  /// Filters as the tiles of products read them: [point][block of out-channels][in-channel][channel
  /// in block].
  Tensor transform_filters(const float* weight, const WeightStrides& strides, bool turned) const;

  /// Room for the tiles of a task: running one allocates nothing.
  using Room = std::array<Tiling::Run, 32>;
  /// The tiles of a task, written to `room`.
  TiledPlanes::Runs runs(int64_t task, int64_t blocks, Room& room) const;

  /// One task: all out-channels of its tiles. `bias` may be null; `x` and `y` begin with the first
  /// of `blocks` blocks.
  void run(int64_t task,
           int64_t blocks,
           const MappedFloats& x,
           const float* filters,
           const float* bias,
           float* y,
           float* scratch) const;

  /// Filters as `run_some` reads them: [point][out-channel][in-channel].
  Tensor transform_filters_plainly(const float* weight, const WeightStrides& strides) const;
  /// The part of a task that `channels` are; the rest of `y` stays.
  void run_some(int64_t task,
                int64_t blocks,
                const WinogradChannels& channels,
                const float* x,
                const float* filters,
                const float* bias,
                float* y,
                float* scratch) const;

 private:
  void multiply(const float* filters, int64_t tiles, const float* inputs, float* products) const;

  TiledPlanes planes_;
  int64_t per_task_;
  PointStrides inputs_, products_;
  std::vector<int64_t> offsets_;
  ConvMicroKernels kernels_;
  WinogradMicroKernels transforms_;
};

}  // namespace espalier::detail
