// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/block_backward_plan.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <espalier/core/kernels/conv2d/padded.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;

// Blocks in one block of input channels that pay for the sixteen loads of dy before them; and the
// pairs of vectors that a tile may reach in such a block (L1 holds 256 of them).
constexpr double kSegmentBlocks = 12.0;
constexpr int64_t kMinReach = 128;
constexpr int64_t kMaxReach = 384;
// Blocks of a task: their partial sums (256 bytes each) pass through L2 once per tile.
constexpr int64_t kTaskBlocks = 1536;
// Bytes of a task's scratch: what a 1 MB L2 holds beside the partial sums.
constexpr int64_t kScratchBytes = 512 << 10;
// Grid rows of a strip at least: rows that two strips share are moved.
constexpr int64_t kLeastStrip = 4;
// Tasks for load balance; a function of the problem alone, so that sums have one order.
constexpr int64_t kTasks = 16;
int64_t whole_tiles(int64_t size, int64_t of) {
  return ceil_div(size, of) * of;
}

}  // namespace

BlockBackwardPlan::BlockBackwardPlan(espalier::detail::TapConvolution convolution,
                                     int64_t sample_blocks,
                                     const Support& support)
    : conv(std::move(convolution)),
      window(conv.taps),
      shape(block_tile_shape(conv)),
      tile(tile_size(shape)),
      blocks(sample_blocks),
      image_groups(ceil_div(sample_blocks, tile.images)) {
  cut(block_form(support)->blocks);
}

void BlockBackwardPlan::cut(int64_t support_blocks) {
  const int64_t channels = std::max<int64_t>(1, conv.in_channels);
  const int64_t reach = tile.images * ((tile.rows - 1) * conv.in_step.h + window.height()) *
                        ((tile.cols - 1) * conv.in_step.w + window.width());
  const auto count = static_cast<double>(std::max<int64_t>(1, support_blocks));
  const double per_segment =
      count / static_cast<double>(channels * ceil_div(conv.out_channels, kBlockChannels));
  channel_block = std::clamp<int64_t>(
      static_cast<int64_t>(std::ceil(std::min(kSegmentBlocks / per_segment, 1e6))),
      std::max<int64_t>(1, kMinReach / reach),
      std::max<int64_t>(1, kMaxReach / reach));
  // All blocks of about equal size, and all ranges.
  const auto equal_parts = [](int64_t size, int64_t part) {
    return ceil_div(size, ceil_div(size, std::clamp<int64_t>(part, 1, size)));
  };
  channel_block = equal_parts(channels, channel_block);

  cols = (whole_tiles(conv.grid_w, tile.cols) - 1) * conv.in_step.w + window.width();
  const int64_t row_bytes = tile.images * cols * kPairFloats * int64_t{sizeof(float)};
  const int64_t least_rows =
      (std::min(kLeastStrip, conv.grid_h) - 1) * conv.in_step.h + window.height();
  const int64_t fitting_channels = kScratchBytes / std::max<int64_t>(1, row_bytes * least_rows);
  if (fitting_channels < channel_block) channel_block = equal_parts(channels, fitting_channels);
  const int64_t wanted_ranges =
      std::max(ceil_div(support_blocks, kTaskBlocks), ceil_div(kTasks / 2, image_groups));
  range_blocks = std::min(channel_blocks() / std::max<int64_t>(1, wanted_ranges),
                          fitting_channels / channel_block);
  range_blocks = equal_parts(std::max<int64_t>(1, channel_blocks()), range_blocks);
  ranges = ceil_div(channel_blocks(), range_blocks);
  shares = std::clamp<int64_t>(ceil_div(kTasks, ranges), 1, image_groups);

  const int64_t fitting =
      (kScratchBytes / (row_bytes * range_channels()) - window.height()) / conv.in_step.h + 1;
  const int64_t height = std::clamp<int64_t>(fitting, 1, std::max<int64_t>(1, conv.grid_h));
  // Strips of about equal height.
  strip = whole_tiles(ceil_div(conv.grid_h, ceil_div(conv.grid_h, height)), tile.rows);
  strips = ceil_div(conv.grid_h, strip);
  rows = (strip - 1) * conv.in_step.h + window.height();
}

int64_t BlockBackwardPlan::channel_blocks() const {
  return ceil_div(conv.in_channels, channel_block);
}

int64_t BlockBackwardPlan::tiles_of_strip() const {
  return ceil_div(strip, tile.rows) * ceil_div(conv.grid_w, tile.cols);
}

Ahead BlockBackwardPlan::input_ahead(const float* x,
                                     int64_t range,
                                     int64_t image_group,
                                     int64_t strip_index,
                                     int64_t last_group,
                                     int64_t part,
                                     int64_t parts) const {
  int64_t read = strip_index * strip * conv.in_step.h + window.top + rows;  // rows read until now
  int64_t end = read + strip * conv.in_step.h;
  if (++strip_index == strips) {
    if (++image_group == last_group) return {};
    read = window.top;
    end = window.top + rows;
  }
  read = std::clamp<int64_t>(read, 0, conv.in_h);
  end = std::clamp<int64_t>(end, read, conv.in_h);
  const int64_t plane = conv.in_h * conv.in_w * 16;
  const int64_t first_channel = range * range_channels();
  // Of several images only the first: planes of one position are read in one go.
  const int64_t runs = std::min(range_channels(), conv.in_channels - first_channel);
  const int64_t first = part * runs / parts;
  return {.from = x +
                  (image_group * tile.images * conv.in_channels + first_channel + first) * plane +
                  read * conv.in_w * 16,
          .run_lines = (end - read) * conv.in_w,
          .runs = (part + 1) * runs / parts - first,
          .run_stride = plane};
}

TileStrides BlockBackwardPlan::scratch_strides() const {
  return {image_stride(), conv.in_step.h * cols * kPairFloats, conv.in_step.w * kPairFloats};
}

TileStrides BlockBackwardPlan::dy_strides() const {
  return {conv.out_channels * conv.grid_h * conv.grid_w * 16, conv.grid_w * 16, 16};
}

std::shared_ptr<const BlockStream> block_backward_stream(const BlockBackwardPlan& plan,
                                                         const Support& support) {
  std::vector<int64_t> key = {
      1, plan.cols, plan.channel_stride(), plan.channel_block, plan.range_blocks};
  for (const espalier::detail::Tap& tap : plan.conv.taps) key.insert(key.end(), {tap.dh, tap.dw});
  return support.derived<BlockStream>(
      key, [&] { return make_block_stream(plan, support, plan.range_channels()); });
}

}  // namespace espalier::sparse::detail
