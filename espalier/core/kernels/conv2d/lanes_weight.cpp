// SPDX-License-Identifier: Apache-2.0
// Gradient of the weight in sixteen lanes: dw[k][c,r,s] is an inner product of dy[k] and a shifted
// x[c] over all positions. A tile sums four k and six (c,s) of one r side by side in registers.
// Sweeping whole planes was faster than strips that fit L1 (256 and 1024 positions against 32 to
// 128, on Zen 4).
#include <algorithm>
#include <vector>

#include <espalier/core/kernels/conv2d/lanes.h>
#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

// Positions between two sums over lanes, and the most padded input (bytes) to reach them.
constexpr int64_t kPositionsPerSum = 1024;
constexpr int64_t kPaddedBytes = 2 << 20;
// Tiles of weight columns in a task, which share dy of four channels.
constexpr int64_t kTilesPerTask = 12;

/// Weight columns (in-channel c, kernel row r, kernel column s) that a tile sums side by side: all
/// of one kernel row, so that they share the rows of dy that meet the plane.
struct ColumnTile {
  int64_t r;
  int columns;
  int64_t offsets[kTileColumns];  // of x, within a group of one padded image
  int64_t indices[kTileColumns];  // in a filter (C/groups,R,S)
};

/// Geometry of x with padded columns.
struct PaddedX {
  int64_t cols, plane, image;
  PaddedX(const Conv2dShape& shape) {  // NOLINT: a view of the shape
    const Conv2dOptions& o = shape.options;
    const int64_t reach = (shape.q - 1) * o.stride.w + (shape.s - 1) * o.dilation.w + 1;
    cols = o.padding.w == 0 ? shape.w : reach;
    plane = shape.h * cols * kLanes;
    image = shape.c * plane;
  }
};

std::vector<ColumnTile> column_tiles(const Conv2dShape& shape, const PaddedX& padded) {
  const Conv2dOptions& o = shape.options;
  const int64_t per_row = shape.c / o.groups * shape.s;
  std::vector<ColumnTile> tiles;
  for (int64_t first = 0; first < per_row; first += kTileColumns) {
    for (int64_t r = 0; r < shape.r; ++r) {
      ColumnTile tile{
          r, static_cast<int>(std::min<int64_t>(kTileColumns, per_row - first)), {}, {}};
      for (int t = 0; t < tile.columns; ++t) {
        const int64_t c = (first + t) / shape.s;
        const int64_t s = (first + t) % shape.s;
        tile.offsets[t] =
            c * padded.plane +
            ((r * o.dilation.h - o.padding.h) * padded.cols + s * o.dilation.w) * kLanes;
        tile.indices[t] = (c * shape.r + r) * shape.s + s;
      }
      tiles.push_back(tile);
    }
  }
  return tiles;
}

/// Sums of one tile and `b` output channels over `images` padded blocks of samples, added to dw.
void sum_tile(const Conv2dShape& shape,
              const PaddedX& padded,
              const ConvMicroKernels& kernels,
              const ColumnTile& tile,
              const float* x,
              const float* dy,
              int64_t images,
              int b,
              float* dw) {
  const Conv2dOptions& o = shape.options;
  // Rows of dy whose kernel row r lies inside of x.
  const int64_t shift = tile.r * o.dilation.h - o.padding.h;
  const int64_t begin = shift < 0 ? ceil_div(-shift, o.stride.h) : 0;
  const int64_t limit = shape.h - 1 - shift;
  const int64_t end = limit < 0 ? 0 : std::min(shape.p, limit / o.stride.h + 1);
  if (begin >= end) return;
  constexpr int kTileSums = kTileChannels * kTileColumns;
  alignas(64) float sums[kTileSums * kLanes];
  ColumnJob job;
  job.dy_channel_stride = shape.p * shape.q * kLanes;
  job.dy_row_stride = shape.q * kLanes;
  job.dy_image_stride = shape.k * job.dy_channel_stride;
  job.x_row_stride = o.stride.h * padded.cols * kLanes;
  job.x_image_stride = padded.image;
  job.x_step = o.stride.w * kLanes;
  job.images = images;
  job.rows = end - begin;
  job.positions = shape.q;
  job.dy = dy + begin * job.dy_row_stride;
  job.x = x + begin * job.x_row_stride;
  job.column_offsets = tile.offsets;
  job.sums = sums;
  kernels.column(job, b, tile.columns);
  float totals[kTileSums];
  kernels.lane_sum(sums, b * tile.columns, totals);
  const int64_t filter = shape.c / o.groups * shape.r * shape.s;
  for (int k = 0; k < b; ++k) {
    for (int t = 0; t < tile.columns; ++t) {
      dw[k * filter + tile.indices[t]] += totals[k * tile.columns + t];
    }
  }
}

}  // namespace

void conv2d_backward_weight_lanes(const Conv2dShape& shape,
                                  const MappedTensor& x,
                                  const Tensor& dy,
                                  Tensor& dweight) {
  const Conv2dOptions& o = shape.options;
  const ConvMicroKernels kernels = conv_micro_kernels();
  const PaddedX padded(shape);
  const std::vector<ColumnTile> tiles = column_tiles(shape, padded);
  const int64_t in_per_group = shape.c / o.groups;
  const int64_t out_per_group = shape.k / o.groups;
  const int64_t in_plane = shape.h * shape.w * kLanes;
  const int64_t blocks = lane_blocks(shape.n);
  // Enough blocks of samples between two sums over lanes for these to cost little.
  const int64_t wanted = ceil_div(kPositionsPerSum, shape.p * shape.q);
  const int64_t fitting = kPaddedBytes / (padded.image * static_cast<int64_t>(sizeof(float)) + 1);
  const int64_t chunk = std::clamp<int64_t>(std::min(wanted, fitting), 1, blocks);
  const bool in_place = o.padding.w == 0 && x.map == nullptr;
  const PaddedPart part{shape.h, shape.w, 0, shape.h, -o.padding.w, padded.cols};
  Tensor scratch;
  if (!in_place) scratch = Tensor::empty({chunk * padded.image});

  dweight.fill_(0.0);
  float* dw = dweight.data<float>();
  const auto tile_count = static_cast<int64_t>(tiles.size());
  const int64_t tile_tasks = ceil_div(tile_count, kTilesPerTask);
  const int64_t k_blocks = ceil_div(out_per_group, kTileChannels);
  // A thread owns weights, not samples, and meets the blocks of samples in order: the sums' order,
  // and so their bits, don't depend on the number of threads.
  for (int64_t first = 0; first < blocks; first += chunk) {
    const int64_t images = std::min(chunk, blocks - first);
    const float* planes = x.tensor.data<float>() + first * shape.c * in_plane;
    if (!in_place) {
      const int64_t grain = 1 + (1 << 14) / padded.plane;
      parallel_for(images * shape.c, grain, [&](int64_t begin, int64_t end) {
        for (int64_t plane = begin; plane < end; ++plane) {
          copy_padded(part,
                      {planes + plane * in_plane, x.map},
                      plane % shape.c,
                      1,
                      scratch.data<float>() + plane * padded.plane);
        }
      });
    }
    const float* source = in_place ? planes : scratch.data<float>();
    const float* gradient = dy.data<float>() + first * shape.k * shape.p * shape.q * kLanes;
    parallel_for(o.groups * k_blocks * tile_tasks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t g = task / (k_blocks * tile_tasks);
        const int64_t k = task / tile_tasks % k_blocks * kTileChannels;
        const int64_t tile = task % tile_tasks * kTilesPerTask;
        const int64_t last = std::min(tile_count, tile + kTilesPerTask);
        for (int64_t i = tile; i < last; ++i) {
          sum_tile(shape,
                   padded,
                   kernels,
                   tiles[static_cast<size_t>(i)],
                   source + g * in_per_group * padded.plane,
                   gradient + (g * out_per_group + k) * shape.p * shape.q * kLanes,
                   images,
                   static_cast<int>(std::min<int64_t>(kTileChannels, out_per_group - k)),
                   dw + (g * out_per_group + k) * in_per_group * shape.r * shape.s);
        }
      }
    });
  }
}

}  // namespace espalier::detail
