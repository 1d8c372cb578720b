// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/winograd.h>

#include <algorithm>
#include <vector>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/kernels/conv2d/winograd_tiles.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

// Tiles between two sums over lanes in the gradient of the weight, and the bytes of transformed
// tiles that bound them.
constexpr int64_t kMostTilesPerSum = 256;
constexpr int64_t kLeastTilesPerSum = 32;
constexpr int64_t kSumBytes = 8 << 20;

void correlate(const WinogradCorrelation& conv,
               const Tensor& filters,
               const MappedFloats& x,
               const float* bias,
               float* y,
               int64_t blocks) {
  parallel_for(conv.tasks(blocks), 1, [&](int64_t begin, int64_t end) {
    Tensor scratch = Tensor::empty({conv.scratch_size()});
    for (int64_t task = begin; task < end; ++task) {
      conv.run(task, blocks, x, filters.data<float>(), bias, y, scratch.data<float>());
    }
  });
}

/// The gradient of the weight: products of transformed x and transformed dy, summed over tiles.
class WeightGradient {
 public:
  WeightGradient(const Conv2dShape& shape, WinogradTile tile)
      : shape_(shape),
        points_(tile.points()),
        planes_({shape.c, shape.h, shape.w},
                {shape.k, shape.p, shape.q},
                -shape.options.padding.h,
                -shape.options.padding.w,
                tile),
        total_(planes_.tiling.total(lane_blocks(shape.n))),
        chunk_(tiles_per_sum()),
        room_(static_cast<size_t>(chunk_)),
        input_strides_(tile, shape.c, chunk_),
        gradient_strides_(tile, shape.k, chunk_),
        inputs_(Tensor::empty({input_strides_.size()})),
        gradients_(Tensor::empty({gradient_strides_.size()})),
        sums_(Tensor::zeros({points_ * shape.k * shape.c})),
        transforms_(winograd_micro_kernels(tile)) {
    for (int64_t c = 0; c < shape.c; ++c) offsets_.push_back(c * input_strides_.channel);
  }

  void run(const MappedFloats& x, const float* dy, float* dw) {
    // A thread owns sums, not tiles, and meets the chunks of tiles in order: the order of additions
    // doesn't depend on the number of threads.
    for (int64_t first = 0; first < total_; first += chunk_) {
      const int64_t last = std::min(total_, first + chunk_);
      transform(x, dy, first, last);
      add_products(last - first);
    }
    finish(dw);
  }

 private:
  int64_t tiles_per_sum() const {
    const int64_t tile_bytes =
        points_ * (shape_.c + shape_.k) * kLanes * static_cast<int64_t>(sizeof(float));
    return std::min(
        total_, std::clamp<int64_t>(kSumBytes / tile_bytes, kLeastTilesPerSum, kMostTilesPerSum));
  }

  /// Channels of x, then those of dy.
  void transform(const MappedFloats& x, const float* dy, int64_t first, int64_t last) {
    const TiledPlanes::Runs runs = planes_.runs(first, last, room_);
    const int64_t c = shape_.c;
    parallel_for(c + shape_.k, 1 + (1 << 10) / (last - first), [&](int64_t begin, int64_t end) {
      planes_.transform_inputs(transforms_,
                               x,
                               runs,
                               std::min(begin, c),
                               std::min(end, c),
                               input_strides_,
                               inputs_.data<float>());
      planes_.transform_gradients(transforms_,
                                  dy,
                                  runs,
                                  std::max(begin, c) - c,
                                  std::max(end, c) - c,
                                  gradient_strides_,
                                  gradients_.data<float>());
    });
  }

  void add_products(int64_t tiles) {
    const int64_t k_blocks = ceil_div(shape_.k, kTileChannels);
    parallel_for(points_ * k_blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        add_products_of(task / k_blocks, task % k_blocks * kTileChannels, tiles);
      }
    });
  }

  /// sums[point][k..][all c], four k and six c at a time.
  void add_products_of(int64_t point, int64_t k, int64_t tiles) {
    constexpr int kTileSums = kTileChannels * kTileColumns;
    alignas(64) float vectors[kTileSums * kLanes];
    const int b = static_cast<int>(std::min<int64_t>(kTileChannels, shape_.k - k));
    ColumnJob job;
    job.dy =
        gradients_.data<float>() + point * gradient_strides_.point + k * gradient_strides_.channel;
    job.dy_channel_stride = gradient_strides_.channel;
    job.dy_row_stride = job.dy_image_stride = 0;
    job.x = inputs_.data<float>() + point * input_strides_.point;
    job.x_row_stride = job.x_image_stride = 0;
    job.x_step = kLanes;
    job.images = job.rows = 1;
    job.positions = tiles;
    job.sums = vectors;
    float* out = sums_.data<float>() + (point * shape_.k + k) * shape_.c;
    for (int64_t c = 0; c < shape_.c; c += kTileColumns) {
      const int columns = static_cast<int>(std::min<int64_t>(kTileColumns, shape_.c - c));
      job.column_offsets = offsets_.data() + c;
      kernels_.column(job, b, columns);
      float totals[kTileSums];
      kernels_.lane_sum(vectors, b * columns, totals);
      for (int i = 0; i < b; ++i) {
        for (int t = 0; t < columns; ++t) out[i * shape_.c + c + t] += totals[i * columns + t];
      }
    }
  }

  void finish(float* dw) const {
    const int64_t filters = shape_.k * shape_.c;
    const float* sums = sums_.data<float>();
    parallel_for(filters, 16 * kWinogradFilters, [&](int64_t begin, int64_t end) {
      float s[kMostWinogradPoints][kWinogradFilters] = {};
      float g[9][kWinogradFilters];
      for (int64_t first = begin; first < end; first += kWinogradFilters) {
        const int64_t count = std::min<int64_t>(kWinogradFilters, end - first);
        for (int64_t j = 0; j < points_; ++j) {
          std::copy_n(sums + j * filters + first, count, s[j]);
        }
        transforms_.filter_gradients(s, g);
        for (int64_t f = 0; f < count; ++f) {
          for (int64_t i = 0; i < 9; ++i) dw[(first + f) * 9 + i] = g[i][f];
        }
      }
    });
  }

  const Conv2dShape shape_;
  const int64_t points_;  // of a tile
  const TiledPlanes planes_;
  const int64_t total_, chunk_;  // tiles
  std::vector<Tiling::Run> room_;
  const PointStrides input_strides_, gradient_strides_;
  Tensor inputs_, gradients_;
  Tensor sums_;  // [point][k][c]
  std::vector<int64_t> offsets_;
  const ConvMicroKernels kernels_ = conv_micro_kernels();
  const WinogradMicroKernels transforms_;
};

}  // namespace

bool winograd_fits(const Conv2dShape& shape) {
  const Conv2dOptions& o = shape.options;
  return shape.r == 3 && shape.s == 3 && o.stride == Pair(1) && o.dilation == Pair(1) &&
         o.groups == 1;
}

void conv2d_forward_winograd(const Conv2dShape& shape,
                             WinogradTile tile,
                             const MappedTensor& x,
                             const Tensor& weight,
                             const Tensor& bias,
                             Tensor& y) {
  const int64_t blocks = lane_blocks(shape.n);
  const auto conv = WinogradCorrelation::forward(shape, tile, blocks);
  correlate(conv,
            conv.transform_filters(weight.data<float>(), forward_strides(shape), false),
            MappedFloats(x),
            bias.defined() ? bias.data<float>() : nullptr,
            y.data<float>(),
            blocks);
  if (bias.defined() || x.map != nullptr) zero_padding_lanes(y);
}

void conv2d_backward_data_winograd(const Conv2dShape& shape,
                                   WinogradTile tile,
                                   const Tensor& dy,
                                   const Tensor& weight,
                                   Tensor& dx) {
  const int64_t blocks = lane_blocks(shape.n);
  const auto conv = WinogradCorrelation::backward_data(shape, tile, blocks);
  correlate(conv,
            conv.transform_filters(weight.data<float>(), backward_data_strides(shape), true),
            dy.data<float>(),
            nullptr,
            dx.data<float>(),
            blocks);
}

void conv2d_backward_weight_winograd(const Conv2dShape& shape,
                                     WinogradTile tile,
                                     const MappedTensor& x,
                                     const Tensor& dy,
                                     Tensor& dweight) {
  WeightGradient(shape, tile).run(MappedFloats(x), dy.data<float>(), dweight.data<float>());
}

}  // namespace espalier::detail
