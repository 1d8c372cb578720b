// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d_winograd.h>

#include <algorithm>
#include <vector>

#include <espalier/core/kernels/conv2d_micro.h>
#include <espalier/core/kernels/conv2d_padded.h>
#include <espalier/core/kernels/winograd_micro.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

// Bytes of transformed tiles that a task of the forward pass keeps at a time: they stay in L2
// where layers are narrow, and pass through L3 where products are many.
constexpr int64_t kTaskBytes = 512 << 10;
// Tiles of a task: a multiple of the register tile's positions.
constexpr int64_t kLeastTiles = 2 * kTilePositions;
constexpr int64_t kMostTiles = 8 * kTilePositions;
// Tasks that few tiles are cut into at least.
constexpr int64_t kMinTasks = 4;
// Tiles between two sums over lanes in the gradient of the weight, and the bytes of transformed
// tiles that bound them.
constexpr int64_t kMostTilesPerSum = 256;
constexpr int64_t kLeastTilesPerSum = 32;
constexpr int64_t kSumBytes = 8 << 20;
// Vectors between one point and the next beyond what they hold: 16 points at a power of two of
// bytes would share one set of the L1. So would neighbouring channels, whose tiles are odd in
// number for this reason.
constexpr int64_t kSkew = 3;

/// Planes cut into 2x2 tiles.
struct Tiling {
  int64_t rows, cols;  // of tiles
  int64_t total;       // over all blocks of samples
  Tiling(int64_t h, int64_t w, int64_t blocks)
      : rows(ceil_div(h, 2)), cols(ceil_div(w, 2)), total(blocks * rows * cols) {}
};

/// Tile `index` of a tiling: its block of samples, and its first position.
struct TileAt {
  int64_t block, row, col;
  TileAt(const Tiling& tiling, int64_t index)
      : block(index / (tiling.rows * tiling.cols)),
        row(index / tiling.cols % tiling.rows * 2),
        col(index % tiling.cols * 2) {}
};

/// A stack of planes in sixteen lanes.
struct Planes {
  int64_t channels, h, w;
  int64_t plane() const { return h * w * kLanes; }
};

/// Transformed tiles: [point][channel][tile], in vectors.
struct Points {
  int64_t plane_stride, point_stride;  // of a channel, of a point, in floats
  Tensor data;
  static int64_t channel_stride(int64_t tiles) { return (tiles | 1) * kLanes; }
  Points(int64_t channels, int64_t tiles)
      : plane_stride(channel_stride(tiles)),
        point_stride(channels * plane_stride + kSkew * kLanes),
        data(Tensor::empty({kWinogradPoints * point_stride})) {}
  float* at(int64_t point, int64_t channel) {
    return data.data<float>() + point * point_stride + channel * plane_stride;
  }
};

/// Transforms the 4x4 inputs of tiles first..last; `top`, `left`: of a tile's first input relative
/// to its first output.
void transform_inputs(const WinogradMicroKernels& kernels,
                      const Planes& in,
                      const float* x,
                      const Tiling& tiling,
                      int64_t first,
                      int64_t last,
                      int64_t top,
                      int64_t left,
                      int64_t from_channel,
                      int64_t to_channel,
                      Points& points) {
  for (int64_t t = first; t < last; ++t) {
    const TileAt at(tiling, t);
    const int64_t row = at.row + top;
    const int64_t col = at.col + left;
    WinogradInput job;
    job.x = x + (at.block * in.channels + from_channel) * in.plane() + (row * in.w + col) * kLanes;
    job.x_channel_stride = in.plane();
    job.x_row_stride = in.w * kLanes;
    job.inside = 0;
    for (int64_t i = 0; i < 16; ++i) {
      const int64_t r = row + i / 4;
      const int64_t c = col + i % 4;
      if (r >= 0 && r < in.h && c >= 0 && c < in.w) job.inside |= 1u << i;
    }
    job.channels = to_channel - from_channel;
    job.points = points.at(0, from_channel) + (t - first) * kLanes;
    job.point_stride = points.point_stride;
    job.channel_stride = points.plane_stride;
    kernels.input(job);
  }
}

/// Filters as the tiles of products read them: [point][block of out-channels][in-channel][channel
/// in block]. `at(k, c, i)` is the number at row i / 3, column i % 3 of the filter that correlates
/// with x.
template <class At>
Tensor transform_filters(int64_t out_channels, int64_t in_channels, At at) {
  const int64_t filters = out_channels * in_channels;
  Tensor packed = Tensor::empty({kWinogradPoints * filters});
  constexpr int64_t kChannels = kWinogradFilters / kTileChannels;
  parallel_for(ceil_div(out_channels, kTileChannels), 1, [&](int64_t begin, int64_t end) {
    float g[9][kWinogradFilters] = {};
    float u[kWinogradPoints][kWinogradFilters];
    for (int64_t k = begin * kTileChannels; k < std::min(out_channels, end * kTileChannels);
         k += kTileChannels) {
      const int64_t block = std::min<int64_t>(kTileChannels, out_channels - k);
      for (int64_t c = 0; c < in_channels; c += kChannels) {
        const int64_t count = std::min(kChannels, in_channels - c) * block;
        for (int64_t f = 0; f < count; ++f) {
          for (int64_t i = 0; i < 9; ++i) g[i][f] = at(k + f % block, c + f / block, i);
        }
        winograd_filters(g, u);
        float* out = packed.data<float>() + k * in_channels + c * block;
        for (int64_t j = 0; j < kWinogradPoints; ++j) std::copy_n(u[j], count, out + j * filters);
      }
    }
  });
  return packed;
}

/// One correlation of x with transformed filters.
struct Correlation {
  Planes in, out;
  int64_t top, left;  // of a tile's first input, relative to its first output
  int64_t blocks;
};

/// products[point][k][tile] = sum over c of filters[point][k][c] * inputs[point][c][tile].
void multiply(const ConvMicroKernels& kernels,
              const Tensor& filters,
              const std::vector<int64_t>& offsets,
              const Correlation& conv,
              int64_t tiles,
              Points& inputs,
              Points& products) {
  static constexpr float kZeros[kTileChannels] = {};
  TileJob job;
  // Channels take the place of taps: the kernel's inner loop then runs over them.
  job.x_channel_stride = 0;
  job.x_step = kLanes;
  job.tap_offsets = offsets.data();
  job.taps = conv.in.channels;
  job.channels = 1;
  job.y_channel_stride = products.plane_stride;
  job.y_step = kLanes;
  job.start = kZeros;
  for (int64_t j = 0; j < kWinogradPoints; ++j) {
    const float* weights = filters.data<float>() + j * conv.out.channels * conv.in.channels;
    job.x = inputs.at(j, 0);
    for (int64_t k = 0; k < conv.out.channels; k += kTileChannels) {
      const int64_t count = std::min<int64_t>(kTileChannels, conv.out.channels - k);
      job.weights = weights + k * conv.in.channels;
      job.weight_channel_stride = conv.in.channels * count;
      job.y = products.at(j, k);
      kernels.row(job, static_cast<int>(count), tiles);
    }
  }
}

void correlate(
    const Correlation& conv, const Tensor& filters, const float* x, const float* bias, float* y) {
  const ConvMicroKernels kernels = conv_micro_kernels();
  const WinogradMicroKernels transforms = winograd_micro_kernels();
  const Tiling tiling(conv.out.h, conv.out.w, conv.blocks);
  const int64_t tile_bytes = kWinogradPoints * (conv.in.channels + conv.out.channels) * kLanes *
                             static_cast<int64_t>(sizeof(float));
  const auto in_tiles = [](int64_t n) {  // of products
    return std::max<int64_t>(1, n / kTilePositions) * kTilePositions;
  };
  const int64_t per_task =
      std::min(std::clamp(in_tiles(kTaskBytes / tile_bytes), kLeastTiles, kMostTiles),
               in_tiles(tiling.total / kMinTasks));
  const int64_t channel_stride = Points::channel_stride(per_task);
  std::vector<int64_t> offsets;
  for (int64_t c = 0; c < conv.in.channels; ++c) offsets.push_back(c * channel_stride);
  parallel_for(tiling.total, per_task, [&](int64_t begin, int64_t end) {
    Points inputs(conv.in.channels, per_task);
    Points products(conv.out.channels, per_task);
    for (int64_t first = begin; first < end; first += per_task) {
      const int64_t last = std::min(end, first + per_task);
      transform_inputs(transforms,
                       conv.in,
                       x,
                       tiling,
                       first,
                       last,
                       conv.top,
                       conv.left,
                       0,
                       conv.in.channels,
                       inputs);
      multiply(kernels, filters, offsets, conv, last - first, inputs, products);
      for (int64_t t = first; t < last; ++t) {
        const TileAt at(tiling, t);
        WinogradOutput job;
        job.points = products.at(0, 0) + (t - first) * kLanes;
        job.point_stride = products.point_stride;
        job.channel_stride = products.plane_stride;
        job.channels = conv.out.channels;
        job.bias = bias;
        job.y = y + at.block * conv.out.channels * conv.out.plane() +
                (at.row * conv.out.w + at.col) * kLanes;
        job.y_channel_stride = conv.out.plane();
        job.y_row_stride = conv.out.w * kLanes;
        job.rows = static_cast<int>(std::min<int64_t>(2, conv.out.h - at.row));
        job.cols = static_cast<int>(std::min<int64_t>(2, conv.out.w - at.col));
        transforms.output(job);
      }
    }
  });
}

}  // namespace

bool winograd_fits(const Conv2dShape& shape) {
  const Conv2dOptions& o = shape.options;
  return shape.r == 3 && shape.s == 3 && o.stride == Pair(1) && o.dilation == Pair(1) &&
         o.groups == 1;
}

void conv2d_forward_winograd(const Conv2dShape& shape,
                             const Tensor& x,
                             const Tensor& weight,
                             const Tensor& bias,
                             Tensor& y) {
  const float* w = weight.data<float>();
  const Tensor filters = transform_filters(shape.k, shape.c, [&](int64_t k, int64_t c, int64_t i) {
    return w[(k * shape.c + c) * 9 + i];
  });
  const Correlation conv{{shape.c, shape.h, shape.w},
                         {shape.k, shape.p, shape.q},
                         -shape.options.padding.h,
                         -shape.options.padding.w,
                         lane_blocks(shape.n)};
  correlate(conv,
            filters,
            x.data<float>(),
            bias.defined() ? bias.data<float>() : nullptr,
            y.data<float>());
  if (bias.defined()) zero_padding_lanes(y);
}

void conv2d_backward_data_winograd(const Conv2dShape& shape,
                                   const Tensor& dy,
                                   const Tensor& weight,
                                   Tensor& dx) {
  const float* w = weight.data<float>();
  // dx is dy correlated with the filters turned by 180 degrees.
  const Tensor filters = transform_filters(shape.c, shape.k, [&](int64_t c, int64_t k, int64_t i) {
    return w[(k * shape.c + c) * 9 + 8 - i];
  });
  const Correlation conv{{shape.k, shape.p, shape.q},
                         {shape.c, shape.h, shape.w},
                         shape.options.padding.h - 2,
                         shape.options.padding.w - 2,
                         lane_blocks(shape.n)};
  correlate(conv, filters, dy.data<float>(), nullptr, dx.data<float>());
}

void conv2d_backward_weight_winograd(const Conv2dShape& shape,
                                     const Tensor& x,
                                     const Tensor& dy,
                                     Tensor& dweight) {
  const ConvMicroKernels kernels = conv_micro_kernels();
  const WinogradMicroKernels transforms = winograd_micro_kernels();
  const Tiling tiling(shape.p, shape.q, lane_blocks(shape.n));
  const Planes in{shape.c, shape.h, shape.w};
  const Planes out{shape.k, shape.p, shape.q};
  const int64_t tile_bytes =
      kWinogradPoints * (shape.c + shape.k) * kLanes * static_cast<int64_t>(sizeof(float));
  const int64_t chunk =
      std::min(tiling.total,
               std::clamp<int64_t>(kSumBytes / tile_bytes, kLeastTilesPerSum, kMostTilesPerSum));
  Points inputs(shape.c, chunk);
  Points gradients(shape.k, chunk);
  // [point][k][c]
  const int64_t filters = shape.k * shape.c;
  Tensor sums = Tensor::zeros({kWinogradPoints * filters});
  const int64_t k_blocks = ceil_div(shape.k, kTileChannels);
  std::vector<int64_t> offsets;
  for (int64_t c = 0; c < shape.c; ++c) offsets.push_back(c * inputs.plane_stride);
  // A thread owns sums, not tiles, and meets the chunks of tiles in order: the order of additions
  // doesn't depend on the number of threads.
  for (int64_t first = 0; first < tiling.total; first += chunk) {
    const int64_t last = std::min(tiling.total, first + chunk);
    const int64_t all = shape.c + shape.k;
    parallel_for(all, 1 + (1 << 10) / (last - first), [&](int64_t begin, int64_t end) {
      if (begin < shape.c) {
        transform_inputs(transforms,
                         in,
                         x.data<float>(),
                         tiling,
                         first,
                         last,
                         -shape.options.padding.h,
                         -shape.options.padding.w,
                         begin,
                         std::min(end, shape.c),
                         inputs);
      }
      const int64_t from = std::max(begin, shape.c) - shape.c;
      const int64_t to = end - shape.c;
      for (int64_t t = first; t < last && from < to; ++t) {
        const TileAt at(tiling, t);
        WinogradGradient job;
        job.dy = dy.data<float>() + (at.block * shape.k + from) * out.plane() +
                 (at.row * out.w + at.col) * kLanes;
        job.dy_channel_stride = out.plane();
        job.dy_row_stride = out.w * kLanes;
        job.rows = static_cast<int>(std::min<int64_t>(2, out.h - at.row));
        job.cols = static_cast<int>(std::min<int64_t>(2, out.w - at.col));
        job.channels = to - from;
        job.points = gradients.at(0, from) + (t - first) * kLanes;
        job.point_stride = gradients.point_stride;
        job.channel_stride = gradients.plane_stride;
        transforms.gradient(job);
      }
    });
    parallel_for(kWinogradPoints * k_blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t point = task / k_blocks;
        const int64_t k = task % k_blocks * kTileChannels;
        const int b = static_cast<int>(std::min<int64_t>(kTileChannels, shape.k - k));
        constexpr int kTileSums = kTileChannels * kTileColumns;
        alignas(64) float vectors[kTileSums * kLanes];
        ColumnJob job;
        job.dy = gradients.at(point, k);
        job.dy_channel_stride = gradients.plane_stride;
        job.dy_row_stride = job.dy_image_stride = 0;
        job.x = inputs.at(point, 0);
        job.x_row_stride = job.x_image_stride = 0;
        job.x_step = kLanes;
        job.images = job.rows = 1;
        job.positions = last - first;
        job.sums = vectors;
        float* out_sums = sums.data<float>() + point * filters + k * shape.c;
        for (int64_t c = 0; c < shape.c; c += kTileColumns) {
          const int columns = static_cast<int>(std::min<int64_t>(kTileColumns, shape.c - c));
          job.column_offsets = offsets.data() + c;
          kernels.column(job, b, columns);
          float totals[kTileSums];
          kernels.lane_sum(vectors, b * columns, totals);
          for (int i = 0; i < b; ++i) {
            for (int t = 0; t < columns; ++t) {
              out_sums[i * shape.c + c + t] += totals[i * columns + t];
            }
          }
        }
      }
    });
  }
  float* dw = dweight.data<float>();
  const float* all_sums = sums.data<float>();
  parallel_for(filters, 16 * kWinogradFilters, [&](int64_t begin, int64_t end) {
    float s[kWinogradPoints][kWinogradFilters] = {};
    float g[9][kWinogradFilters];
    for (int64_t first = begin; first < end; first += kWinogradFilters) {
      const int64_t count = std::min<int64_t>(kWinogradFilters, end - first);
      for (int64_t j = 0; j < kWinogradPoints; ++j) {
        std::copy_n(all_sums + j * filters + first, count, s[j]);
      }
      winograd_filter_gradients(s, g);
      for (int64_t f = 0; f < count; ++f) {
        for (int64_t i = 0; i < 9; ++i) dw[(first + f) * 9 + i] = g[i][f];
      }
    }
  });
}

}  // namespace espalier::detail
