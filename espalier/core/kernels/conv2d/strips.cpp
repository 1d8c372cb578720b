// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/strips.h>

#include <algorithm>
#include <utility>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

// Vectors of x that one tile reads from a block of channels: 18 KB of a 32 KB L1.
constexpr int64_t kTileVectors = 288;
// Bytes of padded input that one task copies at a time: less than half of a 1 MB L2.
constexpr int64_t kStripBytes = 384 << 10;
// Tasks that a small batch is cut into at least, where the plane allows it.
constexpr int64_t kMinTasks = 8;

}  // namespace

WeightStrides forward_strides(const Conv2dShape& shape) {
  const int64_t in = shape.r * shape.s;
  const int64_t out = shape.c / shape.options.groups * in;
  return {shape.k / shape.options.groups * out, out, in};
}

WeightStrides backward_data_strides(const Conv2dShape& shape) {
  const WeightStrides forward = forward_strides(shape);
  return {forward.group, forward.in, forward.out};
}

ConvStrips::ConvStrips(TapConvolution convolution, int64_t blocks, bool mapped)
    : conv_(std::move(convolution)), window_(conv_.taps), kernels_(conv_micro_kernels()) {
  const int64_t reach = (conv_.grid_w - 1) * conv_.in_step.w;
  in_place_ = !mapped && window_.left >= 0 && reach + window_.right < conv_.in_w;
  left_ = in_place_ ? 0 : window_.left;
  cols_ = in_place_ ? conv_.in_w : reach + window_.width();
  const int64_t tile_cols = (kTilePositions - 1) * conv_.in_step.w + window_.width();
  channel_block_ = std::clamp<int64_t>(kTileVectors / (window_.height() * tile_cols), 4, 256);
  channel_block_ = std::clamp<int64_t>(channel_block_, 1, std::max<int64_t>(1, conv_.in_channels));
  const int64_t row_bytes = channel_block_ * cols_ * kLanes * static_cast<int64_t>(sizeof(float));
  const int64_t fitting = (kStripBytes / row_bytes - window_.height()) / conv_.in_step.h + 1;
  const int64_t sharing = ceil_div(conv_.grid_h, ceil_div(kMinTasks, std::max<int64_t>(1, blocks)));
  strip_ = std::clamp<int64_t>(std::min(fitting, sharing), 1, conv_.grid_h);
  strips_ = ceil_div(conv_.grid_h, strip_);
  for (const Tap& tap : conv_.taps) {
    offsets_.push_back((tap.dh * cols_ + tap.dw - left_) * kLanes);
  }
}

int64_t ConvStrips::scratch_size() const {
  const int64_t rows = (strip_ - 1) * conv_.in_step.h + window_.height();
  return in_place_ ? 0 : channel_block_ * rows * cols_ * kLanes;
}

ConvStrips::Rows ConvStrips::rows(int64_t task) const {
  const int64_t first = task % strips_ * strip_;
  return {task / strips_, first, std::min(conv_.grid_h, first + strip_)};
}

Tensor ConvStrips::pack(const float* weight, const WeightStrides& strides) const {
  const auto taps = static_cast<int64_t>(conv_.taps.size());
  Tensor packed = Tensor::empty({conv_.groups * conv_.out_channels * conv_.in_channels * taps});
  float* data = packed.data<float>();
  const int64_t k_blocks = ceil_div(conv_.out_channels, kTileChannels);
  const int64_t grain = 1 + (1 << 14) / (kTileChannels * conv_.in_channels * taps + 1);
  parallel_for(conv_.groups * k_blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t g = task / k_blocks;
      const int64_t first = task % k_blocks * kTileChannels;
      const int64_t last = std::min<int64_t>(conv_.out_channels, first + kTileChannels);
      float* out = data + (g * conv_.out_channels + first) * conv_.in_channels * taps;
      for (int64_t c = 0; c < conv_.in_channels; ++c) {
        const float* from = weight + g * strides.group + c * strides.in;
        for (const Tap& tap : conv_.taps) {
          for (int64_t k = first; k < last; ++k) *out++ = from[k * strides.out + tap.index];
        }
      }
    }
  });
  return packed;
}

void ConvStrips::run(int64_t task,
                     const MappedFloats& x,
                     const float* weights,
                     const float* bias,
                     float* y,
                     float* scratch) const {
  const Rows at = rows(task);
  const auto taps = static_cast<int64_t>(conv_.taps.size());
  for (int64_t g = 0; g < conv_.groups; ++g) {
    const int64_t group = at.block * conv_.groups + g;
    const Operands operands{
        weights + g * conv_.out_channels * conv_.in_channels * taps,
        bias == nullptr ? nullptr : bias + g * conv_.out_channels,
        y + group * conv_.out_channels * conv_.plane_h * conv_.plane_w * kLanes};
    run_group({x.data + group * conv_.in_channels * conv_.in_h * conv_.in_w * kLanes, x.map},
              g * conv_.in_channels,
              operands,
              at,
              scratch);
  }
}

void ConvStrips::run_group(const MappedFloats& x,
                           int64_t first_channel,
                           const Operands& operands,
                           const Rows& rows,
                           float* scratch) const {
  const int64_t in_plane = conv_.in_h * conv_.in_w * kLanes;
  // Rows of x that the strip touches.
  const int64_t begin =
      std::clamp<int64_t>(rows.first * conv_.in_step.h + window_.top, 0, conv_.in_h);
  const int64_t end = std::clamp<int64_t>(
      (rows.last - 1) * conv_.in_step.h + window_.bottom + 1, begin, conv_.in_h);
  for (int64_t c = 0; c < conv_.in_channels; c += channel_block_) {
    const int64_t channels = std::min(channel_block_, conv_.in_channels - c);
    const float* x_rows = x.data + c * in_plane;
    if (!in_place_) {
      copy_padded({conv_.in_h, conv_.in_w, begin, end - begin, left_, cols_},
                  {x_rows, x.map},
                  first_channel + c,
                  channels,
                  scratch);
      x_rows = scratch - begin * cols_ * kLanes;
    }
    TileJob job;
    job.x_channel_stride = in_place_ ? in_plane : (end - begin) * cols_ * kLanes;
    job.channels = channels;
    for (int64_t row = rows.first; row < rows.last; ++row) run_row(job, x_rows, operands, row, c);
  }
}

// Taps above or below the plane are left out: on a 4x4 plane these are a sixth of the work.
void ConvStrips::run_row(
    TileJob& job, const float* x_rows, const Operands& operands, int64_t row, int64_t c) const {
  const int64_t at = row * conv_.in_step.h;
  size_t from = 0;
  size_t to = conv_.taps.size();
  const auto outside = [&](const Tap& tap) { return at + tap.dh < 0 || at + tap.dh >= conv_.in_h; };
  while (from < to && outside(conv_.taps[from])) ++from;
  while (from < to && outside(conv_.taps[to - 1])) --to;
  const auto all_taps = static_cast<int64_t>(conv_.taps.size());
  job.taps = static_cast<int64_t>(to - from);
  job.tap_offsets = offsets_.data() + from;
  job.x_step = conv_.in_step.w * kLanes;
  const int64_t out_plane = conv_.plane_h * conv_.plane_w * kLanes;
  job.y_channel_stride = out_plane;
  job.y_step = conv_.out_step.w * kLanes;
  const int64_t out_row = (conv_.out_first.h + row * conv_.out_step.h) * conv_.plane_w;
  // Positions outside, channels inside: what a tile reads of x stays in L1 for all channels.
  for (int64_t p = 0; p < conv_.grid_w; p += kTilePositions) {
    const int64_t positions = std::min<int64_t>(kTilePositions, conv_.grid_w - p);
    job.x = x_rows + (at * cols_ + p * conv_.in_step.w) * kLanes;
    for (int64_t k = 0; k < conv_.out_channels; k += kTileChannels) {
      const int64_t b = std::min<int64_t>(kTileChannels, conv_.out_channels - k);
      float start[kTileChannels] = {};
      if (operands.bias != nullptr) std::copy_n(operands.bias + k, b, start);
      job.weights = operands.weights + (k * conv_.in_channels + c * b) * all_taps +
                    static_cast<int64_t>(from) * b;
      job.weight_channel_stride = all_taps * b;
      job.y = operands.y + k * out_plane +
              (out_row + conv_.out_first.w + p * conv_.out_step.w) * kLanes;
      job.start = c == 0 ? start : nullptr;
      kernels_.row(job, static_cast<int>(b), positions);
    }
  }
}

}  // namespace espalier::detail
