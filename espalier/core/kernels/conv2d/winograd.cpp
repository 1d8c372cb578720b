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
// Sums that lane groups have of their own: so many, and of so many bytes together.
constexpr int64_t kMostShares = 8;
constexpr int64_t kSharesBytes = 4 << 20;

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
/// Where the sums are small, every lane group has some of its own, which are added in order: a
/// thread then reads the samples that it has, not all of them for a part of the channels. Else a
/// thread owns sums and meets the tiles in order. Either way the order of additions doesn't depend
/// on the number of threads.
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
        blocks_(lane_blocks(shape.n)),
        shares_(shares_of(points_ * shape.k * shape.c, blocks_)),
        chunk_(tiles_per_sum()),
        input_strides_(tile, shape.c, chunk_),
        gradient_strides_(tile, shape.k, chunk_),
        sums_(Tensor::zeros({shares_, points_ * shape.k * shape.c})),
        transforms_(winograd_micro_kernels(tile)) {
    for (int64_t c = 0; c < shape.c; ++c) offsets_.push_back(c * input_strides_.channel);
  }

  void run(const MappedFloats& x, const float* dy, float* dw) {
    if (shares_ == 1) {
      Part part(*this, 0);
      for_chunks(0, [&](int64_t first, int64_t last) {
        transform_in_parallel(part, x, dy, first, last);
        parallel_for(products(), 1, [&](int64_t begin, int64_t end) {
          add_products(part, begin, end, last - first);
        });
      });
    } else {
      parallel_for(shares_, 1, [&](int64_t begin, int64_t end) {
        for (int64_t share = begin; share < end; ++share) {
          Part part(*this, share);
          for_chunks(share, [&](int64_t first, int64_t last) {
            transform(part, planes_.runs(first, last, part.room), x, dy, 0, shape_.c + shape_.k);
            add_products(part, 0, products(), last - first);
          });
        }
      });
      add_shares();
    }
    finish(dw);
  }

 private:
  /// The buffers of some samples.
  struct Part {
    Part(WeightGradient& of, int64_t share)
        : room(static_cast<size_t>(of.chunk_)),
          inputs(Tensor::empty({of.input_strides_.size()})),
          gradients(Tensor::empty({of.gradient_strides_.size()})),
          sums(of.sums_.data<float>() + share * of.sums_.size(1)) {}
    std::vector<Tiling::Run> room;
    Tensor inputs, gradients;
    float* sums;  // [point][k][c]
  };

  static int64_t shares_of(int64_t sums, int64_t blocks) {
    const int64_t bytes = sums * static_cast<int64_t>(sizeof(float));
    const int64_t shares = std::min(blocks, kMostShares);
    return shares * bytes <= kSharesBytes ? shares : 1;
  }

  int64_t tiles_per_sum() const {
    const int64_t tile_bytes =
        points_ * (shape_.c + shape_.k) * kLanes * static_cast<int64_t>(sizeof(float));
    const int64_t most = shares_ == 1 ? kSumBytes : kSumBytes / 4;
    return std::min(planes_.tiling.total(ceil_div(blocks_, shares_)),
                    std::clamp<int64_t>(most / tile_bytes, kLeastTilesPerSum, kMostTilesPerSum));
  }

  /// body(first tile, last) for the tiles of a share.
  template <class Body>
  void for_chunks(int64_t share, Body body) const {
    const int64_t end = planes_.tiling.total((share + 1) * blocks_ / shares_);
    for (int64_t first = planes_.tiling.total(share * blocks_ / shares_); first < end;
         first += chunk_) {
      body(first, std::min(end, first + chunk_));
    }
  }

  /// Of channels of x, then of those of dy: begin .. end of all.
  void transform(Part& part,
                 TiledPlanes::Runs runs,
                 const MappedFloats& x,
                 const float* dy,
                 int64_t begin,
                 int64_t end) const {
    const int64_t c = shape_.c;
    planes_.transform_inputs(transforms_,
                             x,
                             runs,
                             std::min(begin, c),
                             std::min(end, c),
                             input_strides_,
                             part.inputs.data<float>());
    planes_.transform_gradients(transforms_,
                                dy,
                                runs,
                                std::max(begin, c) - c,
                                std::max(end, c) - c,
                                gradient_strides_,
                                part.gradients.data<float>());
  }

  void transform_in_parallel(
      Part& part, const MappedFloats& x, const float* dy, int64_t first, int64_t last) const {
    const TiledPlanes::Runs runs = planes_.runs(first, last, part.room);
    parallel_for(shape_.c + shape_.k,
                 1 + (1 << 10) / (last - first),
                 [&](int64_t begin, int64_t end) { transform(part, runs, x, dy, begin, end); });
  }

  int64_t products() const { return points_ * ceil_div(shape_.k, kTileChannels); }
  void add_products(Part& part, int64_t begin, int64_t end, int64_t tiles) const {
    const int64_t k_blocks = ceil_div(shape_.k, kTileChannels);
    for (int64_t task = begin; task < end; ++task) {
      add_products_of(part, task / k_blocks, task % k_blocks * kTileChannels, tiles);
    }
  }

  void add_shares() {
    const int64_t size = sums_.size(1);
    float* sums = sums_.data<float>();
    parallel_for(size, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t share = 1; share < shares_; ++share) {
        const float* other = sums + share * size;
        for (int64_t i = begin; i < end; ++i) sums[i] += other[i];
      }
    });
  }

  /// sums[point][k..][all c], four k and six c at a time.
  void add_products_of(Part& part, int64_t point, int64_t k, int64_t tiles) const {
    constexpr int kTileSums = kTileChannels * kTileColumns;
    alignas(64) float vectors[kTileSums * kLanes];
    const int b = static_cast<int>(std::min<int64_t>(kTileChannels, shape_.k - k));
    ColumnJob job;
    job.dy = part.gradients.data<float>() + point * gradient_strides_.point +
             k * gradient_strides_.channel;
    job.dy_channel_stride = gradient_strides_.channel;
    job.dy_row_stride = job.dy_image_stride = 0;
    job.x = part.inputs.data<float>() + point * input_strides_.point;
    job.x_row_stride = job.x_image_stride = 0;
    job.x_step = kLanes;
    job.images = job.rows = 1;
    job.positions = tiles;
    job.sums = vectors;
    float* out = part.sums + (point * shape_.k + k) * shape_.c;
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
  const int64_t blocks_, shares_;
  const int64_t chunk_;  // tiles
  const PointStrides input_strides_, gradient_strides_;
  Tensor sums_;  // [share][point][k][c]
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
