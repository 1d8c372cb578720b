// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/block_backward_plan.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <espalier/core/kernels/conv2d_padded.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::Tap;

// Blocks in one block of input channels that pay for the sixteen loads of dy before them; and the
// pairs of vectors that a tile may reach in such a block (L1 holds 256 of them).
constexpr double kSegmentBlocks = 12.0;
constexpr int64_t kMinReach = 128;
constexpr int64_t kMaxReach = 384;
// Blocks of a task: their partial sums (256 bytes each) pass through L2 once per tile.
constexpr int64_t kTaskBlocks = 1536;
// Bytes of a task's scratch: what a 1 MB L2 holds beside the partial sums.
constexpr int64_t kScratchBytes = 512 << 10;
// Tasks for load balance; a function of the problem alone, so that sums have one order.
constexpr int64_t kTasks = 16;
// Planes up to this wide are cut into rows, so that rows of taps outside are left out.
constexpr int64_t kRowWidth = 8;

TileShape tile_shape(const espalier::detail::TapConvolution& conv) {
  if (conv.grid_w * conv.grid_h == 1) return TileShape::Quad;
  return conv.grid_w > 2 && conv.grid_w <= kRowWidth ? TileShape::Row : TileShape::Square;
}

int64_t whole_tiles(int64_t size, int64_t of) {
  return ceil_div(size, of) * of;
}

}  // namespace

BlockBackwardPlan::BlockBackwardPlan(espalier::detail::TapConvolution convolution,
                                     int64_t sample_blocks,
                                     const Pattern& pattern)
    : conv(std::move(convolution)),
      window(conv.taps),
      shape(tile_shape(conv)),
      tile(tile_size(shape)),
      blocks(sample_blocks),
      image_groups(ceil_div(sample_blocks, tile.images)) {
  cut(block_form(pattern)->blocks);
}

void BlockBackwardPlan::cut(int64_t pattern_blocks) {
  const int64_t channels = std::max<int64_t>(1, conv.in_channels);
  const int64_t reach = tile.images * ((tile.rows - 1) * conv.in_step.h + window.height()) *
                        ((tile.cols - 1) * conv.in_step.w + window.width());
  const auto count = static_cast<double>(std::max<int64_t>(1, pattern_blocks));
  const double per_segment =
      count / static_cast<double>(channels * ceil_div(conv.out_channels, kBlockChannels));
  channel_block = std::clamp<int64_t>(
      static_cast<int64_t>(std::ceil(std::min(kSegmentBlocks / per_segment, 1e6))),
      std::max<int64_t>(1, kMinReach / reach),
      std::max<int64_t>(1, kMaxReach / reach));
  channel_block = std::min(channel_block, channels);

  const int64_t wanted_ranges =
      std::max(ceil_div(pattern_blocks, kTaskBlocks), ceil_div(kTasks / 2, image_groups));
  range_blocks = std::max<int64_t>(1, channel_blocks() / std::max<int64_t>(1, wanted_ranges));

  cols = (whole_tiles(conv.grid_w, tile.cols) - 1) * conv.in_step.w + window.width();
  const int64_t row_bytes = tile.images * cols * kPairFloats * int64_t{sizeof(float)};
  // Ranges of which the rows of a tile fit.
  const int64_t tile_rows = (tile.rows - 1) * conv.in_step.h + window.height();
  range_blocks = std::clamp<int64_t>(
      kScratchBytes / std::max<int64_t>(1, row_bytes * tile_rows * channel_block), 1, range_blocks);
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

TileStrides BlockBackwardPlan::scratch_strides() const {
  return {image_stride(), conv.in_step.h * cols * kPairFloats, conv.in_step.w * kPairFloats};
}

TileStrides BlockBackwardPlan::dy_strides() const {
  return {conv.out_channels * conv.grid_h * conv.grid_w * 16, conv.grid_w * 16, 16};
}

int64_t BlockBackwardPlan::tap_rows() const {
  int64_t count = 0;
  for (size_t t = 0; t < conv.taps.size(); ++t) {
    count += t == 0 || conv.taps[t].dh != conv.taps[t - 1].dh;
  }
  return count;
}

void BlockBackwardPlan::find_parts(int64_t row, Place& place) const {
  const int64_t top = row * conv.in_step.h;
  const int64_t bottom = (row + place.exist.rows - 1) * conv.in_step.h;
  int64_t part = -1;
  place.first_part = place.parts = 0;
  for (size_t t = 0; t < conv.taps.size(); ++t) {
    if (t > 0 && conv.taps[t].dh == conv.taps[t - 1].dh) continue;
    ++part;
    if (bottom + conv.taps[t].dh < 0 || top + conv.taps[t].dh >= conv.in_h) continue;
    if (place.parts == 0) place.first_part = part;
    place.parts = part - place.first_part + 1;
  }
}

namespace {

BlockBackwardStream make_stream(const BlockBackwardPlan& plan, const Pattern& pattern) {
  const int64_t channels = pattern.shape()[0];
  const int64_t filter = channels == 0 ? 0 : pattern.numel() / channels;
  const auto area = static_cast<int64_t>(plan.conv.taps.size());
  const int64_t parts = plan.tap_rows();
  const int64_t row_area = area / parts;
  std::vector<int64_t> tap_offsets(static_cast<size_t>(area));
  for (const Tap& tap : plan.conv.taps) {
    tap_offsets[static_cast<size_t>(tap.index)] = plan.tap_offset(tap);
  }
  BlockBackwardStream stream;
  const int64_t rows = ceil_div(channels, kBlockChannels);
  stream.per_channel_block = rows * parts;
  const auto segment_of = [&](int64_t row, int64_t i) {
    const int64_t part = i % area / row_area;
    return static_cast<size_t>((i / area / plan.channel_block * rows + row) * parts + part);
  };
  stream.bounds.resize(static_cast<size_t>(plan.channel_blocks() * stream.per_channel_block) + 1);
  for_each_block(
      pattern, [&](int64_t row, int64_t i, uint32_t) { ++stream.bounds[segment_of(row, i) + 1]; });
  for (size_t i = 1; i < stream.bounds.size(); ++i) stream.bounds[i] += stream.bounds[i - 1];
  stream.offsets.resize(static_cast<size_t>(stream.bounds.back()));
  stream.positions.resize(stream.offsets.size() * kBlockChannels);
  std::vector<int32_t> next(stream.bounds.begin(), stream.bounds.end() - 1);
  for_each_block(pattern, [&](int64_t row, int64_t i, uint32_t kept) {
    const auto at = static_cast<size_t>(next[segment_of(row, i)]++);
    const int64_t channel = i / area % plan.range_channels();
    stream.offsets[at] = static_cast<int32_t>(channel * plan.channel_stride() +
                                              tap_offsets[static_cast<size_t>(i % area)]);
    for (int64_t b = 0; b < kBlockChannels; ++b) {
      const int64_t flat = (row * kBlockChannels + b) * filter + i;
      stream.positions[at * kBlockChannels + static_cast<size_t>(b)] =
          (kept >> b & 1) != 0 ? static_cast<int32_t>(flat) : -1;
    }
  });
  return stream;
}

}  // namespace

std::shared_ptr<const BlockBackwardStream> block_backward_stream(const BlockBackwardPlan& plan,
                                                                 const Pattern& pattern) {
  std::vector<int64_t> key = {
      plan.cols, plan.channel_stride(), plan.channel_block, plan.range_blocks};
  for (const Tap& tap : plan.conv.taps) key.insert(key.end(), {tap.dh, tap.dw});
  return pattern.derived<BlockBackwardStream>(key, [&] { return make_stream(plan, pattern); });
}

}  // namespace espalier::sparse::detail
