// SPDX-License-Identifier: Apache-2.0
// Dense convolution in sixteen lanes, forward and backward-data. See conv2d_lanes_weight.cpp for
// the third direction.
#include <espalier/core/kernels/conv2d_lanes.h>

#include <algorithm>
#include <vector>

#include <espalier/core/kernels/conv2d_micro.h>
#include <espalier/core/kernels/conv2d_padded.h>
#include <espalier/core/kernels/tap_convolution.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

// Vectors of x that one tile reads from a block of channels: 18 KB of a 32 KB L1.
constexpr int64_t kTileVectors = 288;
// Bytes of padded input that one task copies at a time: less than half of a 1 MB L2.
constexpr int64_t kStripBytes = 384 << 10;
// Tasks that a small batch is cut into at least, where the plane allows it.
constexpr int64_t kMinTasks = 8;

/// Weights as the tiles read them: [group][block of output channels][in-channel][tap][channel in
/// block].
template <class At>
Tensor pack_weights(const TapConvolution& conv, At at) {
  const auto taps = static_cast<int64_t>(conv.taps.size());
  Tensor packed = Tensor::empty({conv.groups * conv.out_channels * conv.in_channels * taps});
  float* data = packed.data<float>();
  const int64_t k_blocks = ceil_div(conv.out_channels, kTileChannels);
  const int64_t grain = 1 + (1 << 14) / (kTileChannels * conv.in_channels * taps + 1);
  parallel_for(conv.groups * k_blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t g = task / k_blocks;
      const int64_t first = task % k_blocks * kTileChannels;
      const int64_t last = std::min<int64_t>(conv.out_channels, first + kTileChannels);
      float* out = data + (g * conv.out_channels + first) * conv.in_channels * taps;
      for (int64_t c = 0; c < conv.in_channels; ++c) {
        for (const Tap& tap : conv.taps) {
          for (int64_t k = first; k < last; ++k) *out++ = at(g, k, c, tap.index);
        }
      }
    }
  });
  return packed;
}

/// How a tap convolution is cut: strips of rows are tasks, blocks of in-channels pass through L1.
struct Plan {
  Window window;
  bool in_place;  // no tap leaves a row of x, so x is read where it is
  int64_t left, cols;
  int64_t channel_block, strip, strips;

  Plan(const TapConvolution& conv, int64_t blocks) : window(conv.taps) {
    const int64_t reach = (conv.grid_w - 1) * conv.in_step.w;
    in_place = window.left >= 0 && reach + window.right < conv.in_w;
    left = in_place ? 0 : window.left;
    cols = in_place ? conv.in_w : reach + window.right - window.left + 1;
    const int64_t rows_per_tile = window.bottom - window.top + 1;
    const int64_t cols_per_tile =
        (kTilePositions - 1) * conv.in_step.w + window.right - window.left + 1;
    channel_block = std::clamp<int64_t>(kTileVectors / (rows_per_tile * cols_per_tile), 4, 256);
    channel_block = std::clamp<int64_t>(channel_block, 1, std::max<int64_t>(1, conv.in_channels));
    const int64_t row_bytes = channel_block * cols * kLanes * static_cast<int64_t>(sizeof(float));
    const int64_t fitting = (kStripBytes / row_bytes - rows_per_tile) / conv.in_step.h + 1;
    const int64_t sharing = ceil_div(conv.grid_h, ceil_div(kMinTasks, blocks));
    strip = std::clamp<int64_t>(std::min(fitting, sharing), 1, conv.grid_h);
    strips = ceil_div(conv.grid_h, strip);
  }
};

/// One (block of samples, strip of rows, group): all output channels.
class StripRun {
 public:
  StripRun(const TapConvolution& conv, const Plan& plan, const float* weights, const float* bias)
      : conv_(conv), plan_(plan), kernels_(conv_micro_kernels()), weights_(weights), bias_(bias) {
    if (!plan.in_place) {
      const int64_t rows =
          (plan.strip - 1) * conv.in_step.h + plan.window.bottom - plan.window.top + 1;
      scratch_ = Tensor::empty({plan.channel_block * rows * plan.cols * kLanes});
    }
    for (const Tap& tap : conv.taps) {
      offsets_.push_back((tap.dh * plan.cols + tap.dw - plan.left) * kLanes);
    }
  }

  /// `x`, `y`: planes of one group; `first`: the strip's first grid row.
  void run(const float* x, float* y, int64_t group, int64_t first) {
    const int64_t last = std::min(conv_.grid_h, first + plan_.strip);
    const int64_t in_plane = conv_.in_h * conv_.in_w * kLanes;
    // Rows of x that the strip touches.
    const int64_t begin =
        std::clamp<int64_t>(first * conv_.in_step.h + plan_.window.top, 0, conv_.in_h);
    const int64_t end = std::clamp<int64_t>(
        (last - 1) * conv_.in_step.h + plan_.window.bottom + 1, begin, conv_.in_h);
    for (int64_t c = 0; c < conv_.in_channels; c += plan_.channel_block) {
      const int64_t channels = std::min(plan_.channel_block, conv_.in_channels - c);
      if (!plan_.in_place) {
        copy_padded(x + c * in_plane,
                    channels,
                    conv_.in_h,
                    conv_.in_w,
                    begin,
                    end - begin,
                    plan_.left,
                    plan_.cols,
                    scratch_.data<float>());
      }
      TileJob job;
      job.x_channel_stride = plan_.in_place ? in_plane : (end - begin) * plan_.cols * kLanes;
      job.channels = channels;
      const float* rows = plan_.in_place ? x + c * in_plane : scratch_.data<float>();
      const int64_t base = plan_.in_place ? 0 : begin;
      for (int64_t i = first; i < last; ++i) {
        run_row(job, rows - base * plan_.cols * kLanes, y, group, i, c);
      }
    }
  }

 private:
  // Taps above or below the plane are left out: on a 4x4 plane these are a sixth of the work.
  void run_row(
      TileJob& job, const float* rows, float* y, int64_t group, int64_t i, int64_t c) const {
    const int64_t at = i * conv_.in_step.h;
    size_t from = 0;
    size_t to = conv_.taps.size();
    const auto outside = [&](const Tap& tap) {
      return at + tap.dh < 0 || at + tap.dh >= conv_.in_h;
    };
    while (from < to && outside(conv_.taps[from])) ++from;
    while (from < to && outside(conv_.taps[to - 1])) --to;
    const auto all_taps = static_cast<int64_t>(conv_.taps.size());
    job.taps = static_cast<int64_t>(to - from);
    job.tap_offsets = offsets_.data() + from;
    job.x_step = conv_.in_step.w * kLanes;
    const int64_t out_plane = conv_.plane_h * conv_.plane_w * kLanes;
    job.y_channel_stride = out_plane;
    job.y_step = conv_.out_step.w * kLanes;
    const int64_t out_row = (conv_.out_first.h + i * conv_.out_step.h) * conv_.plane_w;
    const float* weights = weights_ + group * conv_.out_channels * conv_.in_channels * all_taps;
    // Positions outside, channels inside: what a tile reads of x stays in L1 for all channels.
    for (int64_t p = 0; p < conv_.grid_w; p += kTilePositions) {
      const int64_t positions = std::min<int64_t>(kTilePositions, conv_.grid_w - p);
      job.x = rows + (at * plan_.cols + p * conv_.in_step.w) * kLanes;
      for (int64_t k = 0; k < conv_.out_channels; k += kTileChannels) {
        const int64_t b = std::min<int64_t>(kTileChannels, conv_.out_channels - k);
        float start[kTileChannels] = {};
        if (bias_ != nullptr) std::copy_n(bias_ + group * conv_.out_channels + k, b, start);
        job.weights =
            weights + (k * conv_.in_channels + c * b) * all_taps + static_cast<int64_t>(from) * b;
        job.weight_channel_stride = all_taps * b;
        job.y = y + k * out_plane + (out_row + conv_.out_first.w + p * conv_.out_step.w) * kLanes;
        job.start = c == 0 ? start : nullptr;
        kernels_.row(job, static_cast<int>(b), positions);
      }
    }
  }

  const TapConvolution& conv_;
  const Plan& plan_;
  const ConvMicroKernels kernels_;
  const float* weights_;
  const float* bias_;
  Tensor scratch_;
  std::vector<int64_t> offsets_;
};

/// Taps must be sorted by dh (either way).
void run_tap_convolution(const TapConvolution& conv,
                         const Tensor& weights,
                         const float* x,
                         const float* bias,
                         float* y,
                         int64_t blocks) {
  const Plan plan(conv, blocks);
  const int64_t in_group = conv.in_channels * conv.in_h * conv.in_w * kLanes;
  const int64_t out_group = conv.out_channels * conv.plane_h * conv.plane_w * kLanes;
  parallel_for(blocks * plan.strips, 1, [&](int64_t begin, int64_t end) {
    StripRun strip(conv, plan, weights.data<float>(), bias);
    for (int64_t task = begin; task < end; ++task) {
      for (int64_t g = 0; g < conv.groups; ++g) {
        const int64_t group = task / plan.strips * conv.groups + g;
        strip.run(x + group * in_group, y + group * out_group, g, task % plan.strips * plan.strip);
      }
    }
  });
}

}  // namespace

void conv2d_forward_lanes(const Conv2dShape& shape,
                          const Tensor& x,
                          const Tensor& weight,
                          const Tensor& bias,
                          Tensor& y) {
  const TapConvolution conv = forward_taps(shape);
  const float* w = weight.data<float>();
  const int64_t area = shape.r * shape.s;
  const Tensor packed = pack_weights(conv, [&](int64_t g, int64_t k, int64_t c, int64_t tap) {
    return w[((g * conv.out_channels + k) * conv.in_channels + c) * area + tap];
  });
  run_tap_convolution(conv,
                      packed,
                      x.data<float>(),
                      bias.defined() ? bias.data<float>() : nullptr,
                      y.data<float>(),
                      lane_blocks(shape.n));
  if (bias.defined()) zero_padding_lanes(y);
}

void conv2d_backward_data_lanes(const Conv2dShape& shape,
                                const Tensor& dy,
                                const Tensor& weight,
                                Tensor& dx) {
  const BackwardDataTaps taps = backward_data_taps(shape);
  if (!taps.all_reached) dx.fill_(0.0);
  const float* w = weight.data<float>();
  const int64_t area = shape.r * shape.s;
  for (const TapConvolution& conv : taps.classes) {
    const Tensor packed = pack_weights(conv, [&](int64_t g, int64_t c, int64_t k, int64_t tap) {
      return w[((g * conv.in_channels + k) * conv.out_channels + c) * area + tap];
    });
    run_tap_convolution(
        conv, packed, dy.data<float>(), nullptr, dx.data<float>(), lane_blocks(shape.n));
  }
}

}  // namespace espalier::detail
