// SPDX-License-Identifier: Apache-2.0
// Dense 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3), with filters transformed once. Tiles
// and their order are those of core/kernels/conv2d_winograd.cpp; what differs is that a run
// transforms no filter and allocates nothing, and that each task ends with its epilogue.
#include <espalier/core/kernels/conv2d_micro.h>
#include <espalier/core/kernels/conv2d_padded.h>
#include <espalier/core/kernels/winograd_micro.h>
#include <espalier/nn/plan/kernels/product.h>

namespace espalier::nn::plan {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::kTileChannels;
using espalier::detail::kTilePositions;
using espalier::detail::kWinogradFilters;
using espalier::detail::kWinogradPoints;

// As in conv2d_winograd.cpp: bytes of transformed tiles and tiles of a task, tasks that few tiles
// are cut into at least, and the vectors that keep 16 points out of one set of the L1.
constexpr int64_t kTaskBytes = 512 << 10;
constexpr int64_t kLeastTiles = 2 * kTilePositions;
constexpr int64_t kMostTiles = 8 * kTilePositions;
constexpr int64_t kMinTasks = 4;
constexpr int64_t kSkew = 3;

/// Transformed tiles of a task: [point][channel][tile], strides in floats.
struct Points {
  int64_t channel_stride, point_stride;
  Points(int64_t channels, int64_t tiles)
      : channel_stride((tiles | 1) * kLanes),
        point_stride(channels * channel_stride + kSkew * kLanes) {}
  int64_t floats() const { return kWinogradPoints * point_stride; }
};

int64_t tiles_per_task(const Conv2dShape& s, int64_t tiles) {
  const int64_t tile_bytes =
      kWinogradPoints * (s.c + s.k) * kLanes * static_cast<int64_t>(sizeof(float));
  const auto whole = [](int64_t n) {  // register tiles
    return std::max<int64_t>(1, n / kTilePositions) * kTilePositions;
  };
  return std::min(std::clamp(whole(kTaskBytes / tile_bytes), kLeastTiles, kMostTiles),
                  whole(tiles / kMinTasks));
}

class WinogradConvolution : public Product {
 public:
  WinogradConvolution(const Graph& graph, const Step& step, int64_t blocks)
      : Product(graph, step),
        rows_(ceil_div(shape_.p, 2)),
        cols_(ceil_div(shape_.q, 2)),
        per_task_(tiles_per_task(shape_, blocks * rows_ * cols_)),
        inputs_(shape_.c, per_task_),
        products_(shape_.k, per_task_) {
    for (int64_t c = 0; c < shape_.c; ++c) offsets_.push_back(c * inputs_.channel_stride);
    transform_filters(step.weight);
  }

  void run(const Run& run) const override {
    const int64_t total = run.blocks * rows_ * cols_;
    for_tasks(run, ceil_div(total, per_task_), [&](int64_t task, float* scratch) {
      const int64_t first = task * per_task_;
      const int64_t last = std::min(total, first + per_task_);
      float* products = scratch + inputs_.floats();
      transform_inputs(run.read(x_), first, last, scratch);
      multiply(last - first, scratch, products);
      transform_outputs(products, first, last, run.write(y_));
      finish_tiles(run, first, last);
    });
  }

  int64_t scratch_floats() const override { return inputs_.floats() + products_.floats(); }
  int64_t nbytes() const override { return filters_.nbytes() + bias_bytes(); }
  int64_t macs() const override { return shape_.macs(); }
  std::string_view format() const override { return "winograd"; }

 private:
  /// Tile `index`: its block of samples and its first output.
  struct TileAt {
    int64_t block, row, col;
  };
  TileAt tile(int64_t index) const {
    return {index / (rows_ * cols_), index / cols_ % rows_ * 2, index % cols_ * 2};
  }

  /// [point][block of out-channels][in-channel][channel in block].
  void transform_filters(const Tensor& weight) {
    const int64_t filters = shape_.k * shape_.c;
    filters_ = Tensor::empty({kWinogradPoints * filters});
    float g[9][kWinogradFilters] = {};
    float u[kWinogradPoints][kWinogradFilters];
    for (int64_t k = 0; k < shape_.k; k += kTileChannels) {
      const int64_t block = std::min<int64_t>(kTileChannels, shape_.k - k);
      const int64_t together = kWinogradFilters / kTileChannels;
      for (int64_t c = 0; c < shape_.c; c += together) {
        const int64_t count = std::min(together, shape_.c - c) * block;
        for (int64_t f = 0; f < count; ++f) {
          const float* filter =
              weight.data<float>() + ((k + f % block) * shape_.c + c + f / block) * 9;
          for (int64_t i = 0; i < 9; ++i) g[i][f] = filter[i];
        }
        espalier::detail::winograd_filters(g, u);
        float* out = filters_.data<float>() + k * shape_.c + c * block;
        for (int64_t j = 0; j < kWinogradPoints; ++j) std::copy_n(u[j], count, out + j * filters);
      }
    }
  }

  void transform_inputs(const float* x, int64_t first, int64_t last, float* points) const {
    const int64_t plane = shape_.h * shape_.w * kLanes;
    for (int64_t t = first; t < last; ++t) {
      const TileAt at = tile(t);
      const int64_t row = at.row - shape_.options.padding.h;
      const int64_t col = at.col - shape_.options.padding.w;
      espalier::detail::WinogradInput job;
      job.x = x + at.block * shape_.c * plane + (row * shape_.w + col) * kLanes;
      job.x_channel_stride = plane;
      job.x_row_stride = shape_.w * kLanes;
      job.inside = 0;
      for (int64_t i = 0; i < 16; ++i) {
        const int64_t r = row + i / 4;
        const int64_t c = col + i % 4;
        if (r >= 0 && r < shape_.h && c >= 0 && c < shape_.w) job.inside |= 1u << i;
      }
      job.channels = shape_.c;
      job.points = points + (t - first) * kLanes;
      job.point_stride = inputs_.point_stride;
      job.channel_stride = inputs_.channel_stride;
      transforms_.input(job);
    }
  }

  /// products[point][k][tile] = sum over c of filters[point][k][c] * inputs[point][c][tile].
  void multiply(int64_t tiles, const float* inputs, float* products) const {
    static constexpr float kZeros[kTileChannels] = {};
    espalier::detail::TileJob job;
    // Channels take the place of taps: the kernel's inner loop then runs over them.
    job.x_channel_stride = 0;
    job.x_step = kLanes;
    job.tap_offsets = offsets_.data();
    job.taps = shape_.c;
    job.channels = 1;
    job.y_channel_stride = products_.channel_stride;
    job.y_step = kLanes;
    job.start = kZeros;
    for (int64_t j = 0; j < kWinogradPoints; ++j) {
      const float* weights = filters_.data<float>() + j * shape_.k * shape_.c;
      job.x = inputs + j * inputs_.point_stride;
      for (int64_t k = 0; k < shape_.k; k += kTileChannels) {
        const int64_t count = std::min<int64_t>(kTileChannels, shape_.k - k);
        job.weights = weights + k * shape_.c;
        job.weight_channel_stride = shape_.c * count;
        job.y = products + j * products_.point_stride + k * products_.channel_stride;
        kernels_.row(job, static_cast<int>(count), tiles);
      }
    }
  }

  void transform_outputs(const float* products, int64_t first, int64_t last, float* y) const {
    const int64_t plane = shape_.p * shape_.q * kLanes;
    for (int64_t t = first; t < last; ++t) {
      const TileAt at = tile(t);
      espalier::detail::WinogradOutput job;
      job.points = products + (t - first) * kLanes;
      job.point_stride = products_.point_stride;
      job.channel_stride = products_.channel_stride;
      job.channels = shape_.k;
      job.bias = bias();
      job.y = y + at.block * shape_.k * plane + (at.row * shape_.q + at.col) * kLanes;
      job.y_channel_stride = plane;
      job.y_row_stride = shape_.q * kLanes;
      job.rows = static_cast<int>(std::min<int64_t>(2, shape_.p - at.row));
      job.cols = static_cast<int>(std::min<int64_t>(2, shape_.q - at.col));
      transforms_.output(job);
    }
  }

  /// The epilogue of the tiles' outputs, a run of tiles in one row of tiles at a time.
  void finish_tiles(const Run& run, int64_t first, int64_t last) const {
    if (!epilogue_.any()) return;
    for (int64_t t = first; t < last;) {
      const TileAt at = tile(t);
      const int64_t together = std::min(last - t, cols_ - t % cols_);
      const int64_t width = std::min(shape_.q - at.col, together * 2);
      const int64_t height = std::min<int64_t>(2, shape_.p - at.row);
      for (int64_t r = 0; r < height; ++r) finish_run(run, at.block, at.row + r, at.col, width);
      t += together;
    }
  }

  int64_t rows_, cols_;  // of tiles
  int64_t per_task_;
  Points inputs_, products_;
  std::vector<int64_t> offsets_;
  Tensor filters_;
  espalier::detail::ConvMicroKernels kernels_ = espalier::detail::conv_micro_kernels();
  espalier::detail::WinogradMicroKernels transforms_ = espalier::detail::winograd_micro_kernels();
};

}  // namespace

std::unique_ptr<Kernel> make_winograd_convolution(const Graph& graph,
                                                  const Step& step,
                                                  int64_t blocks) {
  return std::make_unique<WinogradConvolution>(graph, step, blocks);
}

}  // namespace espalier::nn::plan
