// SPDX-License-Identifier: Apache-2.0
// Dense convolution with weights that were packed once. How planes are cut is that of
// core/kernels/conv2d_lanes.cpp; what differs is that nothing is packed or allocated in a run, and
// that each strip of rows gets its epilogue before the next one begins.
#include <espalier/core/kernels/conv2d_micro.h>
#include <espalier/core/kernels/conv2d_padded.h>
#include <espalier/core/kernels/tap_convolution.h>
#include <espalier/nn/plan/kernels/product.h>

namespace espalier::nn::plan {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::ConvMicroKernels;
using espalier::detail::kTileChannels;
using espalier::detail::kTilePositions;
using espalier::detail::Tap;
using espalier::detail::TapConvolution;
using espalier::detail::TileJob;
using espalier::detail::Window;

// As in conv2d_lanes.cpp: vectors of x that a tile reads from a block of channels (L1), bytes of
// padded input that a task copies at a time (L2), tasks that a small batch is cut into at least.
constexpr int64_t kTileVectors = 288;
constexpr int64_t kStripBytes = 384 << 10;
constexpr int64_t kMinTasks = 8;

class DenseConvolution : public Product {
 public:
  DenseConvolution(const Graph& graph, const Step& step, int64_t blocks)
      : Product(graph, step), conv_(espalier::detail::forward_taps(shape_)), window_(conv_.taps) {
    const int64_t reach = (conv_.grid_w - 1) * conv_.in_step.w;
    in_place_ = window_.left >= 0 && reach + window_.right < conv_.in_w;
    left_ = in_place_ ? 0 : window_.left;
    cols_ = in_place_ ? conv_.in_w : reach + window_.width();
    const int64_t tile_cols = (kTilePositions - 1) * conv_.in_step.w + window_.width();
    channel_block_ = std::clamp<int64_t>(kTileVectors / (window_.height() * tile_cols), 4, 256);
    channel_block_ = std::clamp<int64_t>(channel_block_, 1, conv_.in_channels);
    const int64_t row_bytes = channel_block_ * cols_ * kLanes * int64_t{sizeof(float)};
    const int64_t fitting = (kStripBytes / row_bytes - window_.height()) / conv_.in_step.h + 1;
    const int64_t sharing = ceil_div(conv_.grid_h, ceil_div(kMinTasks, blocks));
    strip_ = std::clamp<int64_t>(std::min(fitting, sharing), 1, conv_.grid_h);
    strips_ = ceil_div(conv_.grid_h, strip_);
    for (const Tap& tap : conv_.taps) {
      offsets_.push_back((tap.dh * cols_ + tap.dw - left_) * kLanes);
    }
    pack(step.weight);
  }

  void run(const Run& run) const override {
    const float* x = run.read(x_);
    float* y = run.write(y_);
    const int64_t in_group = conv_.in_channels * conv_.in_h * conv_.in_w * kLanes;
    const int64_t out_group = conv_.out_channels * conv_.plane_h * conv_.plane_w * kLanes;
    for_tasks(run, run.blocks * strips_, [&](int64_t task, float* scratch) {
      const int64_t block = task / strips_;
      const int64_t first = task % strips_ * strip_;
      const int64_t last = std::min(conv_.grid_h, first + strip_);
      for (int64_t g = 0; g < conv_.groups; ++g) {
        const int64_t group = block * conv_.groups + g;
        run_strip(x + group * in_group, y + group * out_group, g, first, last, scratch);
      }
      finish_rows(run, block, first, last);
    });
  }

  int64_t scratch_floats() const override {
    const int64_t rows = (strip_ - 1) * conv_.in_step.h + window_.height();
    return in_place_ ? 0 : channel_block_ * rows * cols_ * kLanes;
  }
  int64_t nbytes() const override { return packed_.nbytes() + bias_bytes(); }
  int64_t macs() const override { return shape_.macs(); }
  std::string_view format() const override { return "dense"; }

 private:
  int64_t taps() const { return static_cast<int64_t>(conv_.taps.size()); }

  /// [group][block of output channels][in-channel][tap][channel in block].
  void pack(const Tensor& weight) {
    packed_ = Tensor::empty({weight.numel()});
    float* out = packed_.data<float>();
    const int64_t area = shape_.r * shape_.s;
    for (int64_t g = 0; g < conv_.groups; ++g) {
      for (int64_t first = 0; first < conv_.out_channels; first += kTileChannels) {
        const int64_t last = std::min<int64_t>(conv_.out_channels, first + kTileChannels);
        for (int64_t c = 0; c < conv_.in_channels; ++c) {
          for (const Tap& tap : conv_.taps) {
            for (int64_t k = g * conv_.out_channels + first; k < g * conv_.out_channels + last;
                 ++k) {
              *out++ = weight.data<float>()[(k * conv_.in_channels + c) * area + tap.index];
            }
          }
        }
      }
    }
  }

  /// Grid rows [first, last) of all output channels of a group.
  void run_strip(
      const float* x, float* y, int64_t group, int64_t first, int64_t last, float* scratch) const {
    const int64_t in_plane = conv_.in_h * conv_.in_w * kLanes;
    const int64_t begin = std::clamp<int64_t>(first * conv_.in_step.h + window_.top, 0, conv_.in_h);
    const int64_t end =
        std::clamp<int64_t>((last - 1) * conv_.in_step.h + window_.bottom + 1, begin, conv_.in_h);
    for (int64_t c = 0; c < conv_.in_channels; c += channel_block_) {
      const int64_t channels = std::min(channel_block_, conv_.in_channels - c);
      const float* rows = x + c * in_plane;
      if (!in_place_) {
        espalier::detail::copy_padded(
            rows, channels, conv_.in_h, conv_.in_w, begin, end - begin, left_, cols_, scratch);
        rows = scratch - begin * cols_ * kLanes;
      }
      TileJob job;
      job.x_channel_stride = in_place_ ? in_plane : (end - begin) * cols_ * kLanes;
      job.channels = channels;
      for (int64_t i = first; i < last; ++i) run_row(job, rows, y, group, i, c);
    }
  }

  /// Taps above or below the plane are left out.
  void run_row(
      TileJob& job, const float* rows, float* y, int64_t group, int64_t i, int64_t c) const {
    const int64_t at = i * conv_.in_step.h;
    int64_t from = 0;
    int64_t to = taps();
    const auto outside = [&](int64_t tap) {
      const int64_t row = at + conv_.taps[static_cast<size_t>(tap)].dh;
      return row < 0 || row >= conv_.in_h;
    };
    while (from < to && outside(from)) ++from;
    while (from < to && outside(to - 1)) --to;
    job.taps = to - from;
    job.tap_offsets = offsets_.data() + from;
    job.x_step = conv_.in_step.w * kLanes;
    const int64_t out_plane = conv_.plane_h * conv_.plane_w * kLanes;
    job.y_channel_stride = out_plane;
    job.y_step = kLanes;
    const float* weights =
        packed_.data<float>() + group * conv_.out_channels * conv_.in_channels * taps();
    // Positions outside, channels inside: what a tile reads of x stays in L1 for all channels.
    for (int64_t p = 0; p < conv_.grid_w; p += kTilePositions) {
      const int64_t positions = std::min<int64_t>(kTilePositions, conv_.grid_w - p);
      job.x = rows + (at * cols_ + p * conv_.in_step.w) * kLanes;
      for (int64_t k = 0; k < conv_.out_channels; k += kTileChannels) {
        const int64_t b = std::min<int64_t>(kTileChannels, conv_.out_channels - k);
        float start[kTileChannels] = {};
        if (bias() != nullptr) std::copy_n(bias() + group * conv_.out_channels + k, b, start);
        job.weights = weights + (k * conv_.in_channels + c * b) * taps() + from * b;
        job.weight_channel_stride = taps() * b;
        job.y = y + k * out_plane + (i * conv_.plane_w + p) * kLanes;
        job.start = c == 0 ? start : nullptr;
        kernels_.row(job, static_cast<int>(b), positions);
      }
    }
  }

  TapConvolution conv_;
  Window window_;
  bool in_place_;  // no tap leaves a row of x, so x is read where it is
  int64_t left_, cols_, channel_block_, strip_, strips_;
  std::vector<int64_t> offsets_;
  Tensor packed_;
  ConvMicroKernels kernels_ = espalier::detail::conv_micro_kernels();
};

}  // namespace

std::unique_ptr<Kernel> make_dense_convolution(const Graph& graph,
                                               const Step& step,
                                               int64_t blocks) {
  return std::make_unique<DenseConvolution>(graph, step, blocks);
}

}  // namespace espalier::nn::plan
