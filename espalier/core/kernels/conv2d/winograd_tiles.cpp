// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/winograd_tiles.h>

#include <algorithm>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

// Bytes of transformed tiles that a task keeps at a time: they stay in L2 where layers are narrow,
// and pass through L3 where products are many.
constexpr int64_t kTaskBytes = 512 << 10;
// Tiles of a task: a multiple of the register tile's positions.
constexpr int64_t kLeastTiles = 2 * kTilePositions;
constexpr int64_t kMostTiles = std::tuple_size_v<WinogradCorrelation::Room>;
static_assert(kMostTiles % kTilePositions == 0);
// Tasks that few tiles are cut into at least.
constexpr int64_t kMinTasks = 4;
// Vectors between one point and the next beyond what they hold: points at a power of two of
// bytes would share one set of the L1. So would neighbouring channels, whose tiles are odd in
// number for this reason.
constexpr int64_t kSkew = 3;

int64_t tiles_per_task(WinogradTile tile, int64_t channels, int64_t tiles) {
  const int64_t tile_bytes =
      tile.points() * channels * kLanes * static_cast<int64_t>(sizeof(float));
  const auto in_register_tiles = [](int64_t n) {
    return std::max<int64_t>(1, n / kTilePositions) * kTilePositions;
  };
  return std::min(std::clamp(in_register_tiles(kTaskBytes / tile_bytes), kLeastTiles, kMostTiles),
                  in_register_tiles(tiles / kMinTasks));
}

}  // namespace

PointStrides::PointStrides(WinogradTile tile, int64_t channels, int64_t tiles)
    : points(tile.points()),
      channel((tiles | 1) * kLanes),
      point(channels * channel + kSkew * kLanes) {}

TiledPlanes::Runs TiledPlanes::runs(int64_t first,
                                    int64_t last,
                                    std::span<Tiling::Run> room) const {
  const int64_t size = tiling.tile.size;
  const int64_t window = tiling.tile.window();
  const auto inside = [&](int64_t row, int64_t col) {
    uint64_t bits = 0;
    for (int64_t i = 0; i < window * window; ++i) {
      const int64_t r = row + top + i / window;
      const int64_t c = col + left + i % window;
      if (r >= 0 && r < in.h && c >= 0 && c < in.w) bits |= uint64_t{1} << i;
    }
    return bits;
  };
  size_t count = 0;
  for (int64_t t = first; t < last; ++t) {
    const int64_t row = t / tiling.cols % tiling.rows * size;
    const int64_t col = t % tiling.cols * size;
    const Tiling::Run run{t / (tiling.cols * tiling.rows),
                          row,
                          col,
                          t - first,
                          1,
                          static_cast<int>(std::min(size, out.h - row)),
                          static_cast<int>(std::min(size, out.w - col)),
                          inside(row, col)};
    const bool joins = count > 0 && col > 0 && room[count - 1].inside == run.inside &&
                       room[count - 1].width == run.width;
    if (joins) {
      ++room[count - 1].tiles;
    } else {
      room[count++] = run;
    }
  }
  return room.first(count);
}

void TiledPlanes::transform_input(const WinogradMicroKernels& kernels,
                                  const MappedFloats& x,
                                  Runs runs,
                                  int64_t c,
                                  int64_t point_stride,
                                  float* points) const {
  WinogradInput job;
  job.row_stride = in.w * kLanes;
  job.point_stride = point_stride;
  if (x.map != nullptr) {
    const auto at = static_cast<size_t>(c);
    job.mapped = true;
    job.scale = static_cast<float>(x.map->scale[at]);
    job.shift = static_cast<float>(x.map->shift[at]);
    job.relu = x.map->relu;
  }
  for (const Tiling::Run& run : runs) {
    job.x = x.data + (run.block * in.channels + c) * in.plane() +
            ((run.row + top) * in.w + run.col + left) * kLanes;
    job.inside = run.inside;
    job.tiles = run.tiles;
    job.points = points + run.first * kLanes;
    kernels.input(job);
  }
}

void TiledPlanes::transform_inputs(const WinogradMicroKernels& kernels,
                                   const MappedFloats& x,
                                   Runs runs,
                                   int64_t from,
                                   int64_t to,
                                   const PointStrides& strides,
                                   float* points) const {
  for (int64_t c = from; c < to; ++c) {
    transform_input(kernels, x, runs, c, strides.point, points + c * strides.channel);
  }
}

void TiledPlanes::transform_gradients(const WinogradMicroKernels& kernels,
                                      const float* dy,
                                      Runs runs,
                                      int64_t from,
                                      int64_t to,
                                      const PointStrides& strides,
                                      float* points) const {
  WinogradGradient job;
  job.row_stride = out.w * kLanes;
  job.point_stride = strides.point;
  for (int64_t c = from; c < to; ++c) {
    for (const Tiling::Run& run : runs) {
      job.dy =
          dy + (run.block * out.channels + c) * out.plane() + (run.row * out.w + run.col) * kLanes;
      job.rows = run.height;
      job.cols = run.width;
      job.tiles = run.tiles;
      job.points = points + c * strides.channel + run.first * kLanes;
      kernels.gradient(job);
    }
  }
}

void TiledPlanes::transform_output(const WinogradMicroKernels& kernels,
                                   const float* points,
                                   Runs runs,
                                   int64_t c,
                                   int64_t point_stride,
                                   float bias,
                                   float* y) const {
  WinogradOutput job;
  job.row_stride = out.w * kLanes;
  job.point_stride = point_stride;
  job.bias = bias;
  for (const Tiling::Run& run : runs) {
    job.points = points + run.first * kLanes;
    job.tiles = run.tiles;
    job.y = y + (run.block * out.channels + c) * out.plane() + (run.row * out.w + run.col) * kLanes;
    job.rows = run.height;
    job.cols = run.width;
    kernels.output(job);
  }
}

void TiledPlanes::transform_outputs(const WinogradMicroKernels& kernels,
                                    const float* points,
                                    Runs runs,
                                    const PointStrides& strides,
                                    const float* bias,
                                    float* y) const {
  for (int64_t c = 0; c < out.channels; ++c) {
    transform_output(kernels,
                     points + c * strides.channel,
                     runs,
                     c,
                     strides.point,
                     bias == nullptr ? 0.0f : bias[c],
                     y);
  }
}

WinogradCorrelation::WinogradCorrelation(const TiledPlanes& planes, int64_t blocks)
    : planes_(planes),
      per_task_(tiles_per_task(planes.tiling.tile,
                               planes.in.channels + planes.out.channels,
                               planes.tiling.total(blocks))),
      inputs_(planes.tiling.tile, planes.in.channels, per_task_),
      products_(planes.tiling.tile, planes.out.channels, per_task_),
      kernels_(conv_micro_kernels()),
      transforms_(winograd_micro_kernels(planes.tiling.tile)) {
  for (int64_t c = 0; c < planes.in.channels; ++c) offsets_.push_back(c * inputs_.channel);
}

WinogradCorrelation WinogradCorrelation::forward(const Conv2dShape& shape,
                                                 WinogradTile tile,
                                                 int64_t blocks) {
  return {{{shape.c, shape.h, shape.w},
           {shape.k, shape.p, shape.q},
           -shape.options.padding.h,
           -shape.options.padding.w,
           tile},
          blocks};
}

WinogradCorrelation WinogradCorrelation::backward_data(const Conv2dShape& shape,
                                                       WinogradTile tile,
                                                       int64_t blocks) {
  return {{{shape.k, shape.p, shape.q},
           {shape.c, shape.h, shape.w},
           shape.options.padding.h - 2,
           shape.options.padding.w - 2,
           tile},
          blocks};
}

int64_t WinogradCorrelation::tasks(int64_t blocks) const {
  return ceil_div(planes_.tiling.total(blocks), per_task_);
}

TiledPlanes::Runs WinogradCorrelation::runs(int64_t task, int64_t blocks, Room& room) const {
  return planes_.runs(
      task * per_task_, std::min(planes_.tiling.total(blocks), (task + 1) * per_task_), room);
}

Tensor WinogradCorrelation::transform_filters(const float* weight,
                                              const WeightStrides& strides,
                                              bool turned) const {
  const int64_t in = planes_.in.channels;
  const int64_t filters = planes_.out.channels * in;
  const int64_t points = planes_.tiling.tile.points();
  Tensor packed = Tensor::empty({points * filters});
  constexpr int64_t kChannels = kWinogradFilters / kTileChannels;
  parallel_for(ceil_div(planes_.out.channels, kTileChannels), 1, [&](int64_t begin, int64_t end) {
    float g[9][kWinogradFilters] = {};
    float u[kMostWinogradPoints][kWinogradFilters];
    for (int64_t k = begin * kTileChannels; k < std::min(planes_.out.channels, end * kTileChannels);
         k += kTileChannels) {
      const int64_t block = std::min<int64_t>(kTileChannels, planes_.out.channels - k);
      for (int64_t c = 0; c < in; c += kChannels) {
        const int64_t count = std::min(kChannels, in - c) * block;
        for (int64_t f = 0; f < count; ++f) {
          const float* filter =
              weight + (k + f % block) * strides.out + (c + f / block) * strides.in;
          for (int64_t i = 0; i < 9; ++i) g[i][f] = filter[turned ? 8 - i : i];
        }
        transforms_.filters(g, u);
        float* out = packed.data<float>() + k * in + c * block;
        for (int64_t j = 0; j < points; ++j) std::copy_n(u[j], count, out + j * filters);
      }
    }
  });
  return packed;
}

void WinogradCorrelation::run(int64_t task,
                              int64_t blocks,
                              const MappedFloats& x,
                              const float* filters,
                              const float* bias,
                              float* y,
                              float* scratch) const {
  Room room;
  const TiledPlanes::Runs tiles = runs(task, blocks, room);
  float* products = scratch + inputs_.size();
  planes_.transform_inputs(transforms_, x, tiles, 0, planes_.in.channels, inputs_, scratch);
  multiply(filters, tiles.back().first + tiles.back().tiles, scratch, products);
  planes_.transform_outputs(transforms_, products, tiles, products_, bias, y);
}

Tensor WinogradCorrelation::transform_filters_plainly(const float* weight,
                                                      const WeightStrides& strides) const {
  const int64_t in = planes_.in.channels;
  const int64_t out = planes_.out.channels;
  const Tensor packed = transform_filters(weight, strides, false);
  Tensor plain = Tensor::empty({planes_.tiling.tile.points(), out, in});
  for (int64_t j = 0; j < planes_.tiling.tile.points(); ++j) {
    const float* from = packed.data<float>() + j * out * in;
    float* to = plain.data<float>() + j * out * in;
    for (int64_t k = 0; k < out; ++k) {
      const int64_t first = k / kTileChannels * kTileChannels;
      const int64_t count = std::min<int64_t>(kTileChannels, out - first);
      for (int64_t c = 0; c < in; ++c) to[k * in + c] = from[first * in + c * count + k - first];
    }
  }
  return plain;
}

void WinogradCorrelation::run_some(int64_t task,
                                   int64_t blocks,
                                   const WinogradChannels& channels,
                                   const float* x,
                                   const float* filters,
                                   const float* bias,
                                   float* y,
                                   float* scratch) const {
  Room room;
  const TiledPlanes::Runs tiles = runs(task, blocks, room);
  const int64_t count = tiles.back().first + tiles.back().tiles;
  float* at = scratch;
  for (const int32_t c : channels.in) {
    planes_.transform_input(transforms_, x, tiles, c, inputs_.point, at);
    at += inputs_.channel;
  }
  float* products = scratch + inputs_.size();
  const int64_t in = planes_.in.channels;
  const int64_t out = planes_.out.channels;
  PickedJob job;
  job.x_stride = inputs_.channel;
  job.picked = channels.in.data();
  job.count = static_cast<int64_t>(channels.in.size());
  job.y_stride = products_.channel;
  for (int64_t j = 0; j < inputs_.points; ++j) {
    job.x = scratch + j * inputs_.point;
    job.y = products + j * products_.point;
    for (size_t k = 0; k < channels.out.size(); k += kTileChannels) {
      const size_t rows = std::min<size_t>(kTileChannels, channels.out.size() - k);
      for (size_t b = 0; b < rows; ++b) {
        job.weights[b] = filters + (j * out + channels.out[k + b]) * in;
      }
      kernels_.picked(job, static_cast<int>(rows), count);
      job.y += kTileChannels * products_.channel;
    }
  }
  const float* from = products;
  for (const int32_t k : channels.out) {
    planes_.transform_output(
        transforms_, from, tiles, k, products_.point, bias == nullptr ? 0.0f : bias[k], y);
    from += products_.channel;
  }
}

// products[point][k][tile] = sum over c of filters[point][k][c] * inputs[point][c][tile].
void WinogradCorrelation::multiply(const float* filters,
                                   int64_t tiles,
                                   const float* inputs,
                                   float* products) const {
  static constexpr float kZeros[kTileChannels] = {};
  const int64_t in = planes_.in.channels;
  TileJob job;
  // Channels take the place of taps: the kernel's inner loop then runs over them.
  job.x_channel_stride = 0;
  job.x_step = kLanes;
  job.tap_offsets = offsets_.data();
  job.taps = in;
  job.channels = 1;
  job.y_channel_stride = products_.channel;
  job.y_step = kLanes;
  job.start = kZeros;
  for (int64_t j = 0; j < inputs_.points; ++j) {
    const float* weights = filters + j * planes_.out.channels * in;
    job.x = inputs + j * inputs_.point;
    for (int64_t k = 0; k < planes_.out.channels; k += kTileChannels) {
      const int64_t count = std::min<int64_t>(kTileChannels, planes_.out.channels - k);
      job.weights = weights + k * in;
      job.weight_channel_stride = in * count;
      job.y = products + j * products_.point + k * products_.channel;
      kernels_.row(job, static_cast<int>(count), tiles);
    }
  }
}

}  // namespace espalier::detail
