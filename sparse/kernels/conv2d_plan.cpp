// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_plan.h>

#include <algorithm>

#include <espalier/core/kernels/conv2d_padded.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;

// Kept weights of a segment that pay for loading and storing its sums.
constexpr double kSegmentEntries = 16.0;
// Vectors of x that a tile reads from a block of channels, at most: 28 KB of L1.
constexpr int64_t kTileVectors = 448;
// Bytes that a task copies at once.
constexpr int64_t kScratchBytes = 384 << 10;
// Tasks that a small batch is cut into at least, where the plane allows it.
constexpr int64_t kMinTasks = 8;

}  // namespace

ConvPlan::ConvPlan(const TapConvolution& conv,
                   int64_t blocks,
                   double density,
                   int64_t scratch_channels)
    : window(conv.taps) {
  tall = conv.grid_w <= kTallCols;
  tile_rows = tall ? kTallRows : kTileRows;
  tile_cols = tall ? kTallCols : kTileCols;
  const int64_t per_channel = ((tile_rows - 1) * conv.in_step.h + window.height()) *
                              ((tile_cols - 1) * conv.in_step.w + window.width());
  const auto taps = static_cast<double>(conv.taps.size());
  const auto wanted = static_cast<int64_t>(kSegmentEntries / (taps * std::max(density, 1e-3))) + 1;
  channel_block = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, kTileVectors / per_channel));
  channel_block = std::min(channel_block, std::max<int64_t>(1, conv.in_channels));
  // Small planes: rows of several blocks of samples fill a tile.
  images = std::clamp<int64_t>(tile_rows / std::max<int64_t>(1, conv.grid_h), 1, blocks);
  image_groups = ceil_div(blocks, images);
  const int64_t padded_cols = ceil_div(conv.grid_w, tile_cols) * tile_cols;
  cols = (padded_cols - 1) * conv.in_step.w + window.width();
  const int64_t channels = scratch_channels > 0 ? scratch_channels : channel_block;
  const int64_t row_bytes = channels * images * cols * 16 * static_cast<int64_t>(sizeof(float));
  const int64_t fitting =
      (kScratchBytes / std::max<int64_t>(1, row_bytes) - window.height()) / conv.in_step.h + 1;
  const int64_t sharing = ceil_div(conv.grid_h, ceil_div(kMinTasks, image_groups));
  strip = std::max<int64_t>(1, std::min(fitting, sharing));
  strip = std::min(ceil_div(strip, tile_rows) * tile_rows, conv.grid_h);
  strips = ceil_div(conv.grid_h, strip);
  rows = (strip - 1) * conv.in_step.h + window.height();
}

EntryStream make_stream(const TapConvolution& conv,
                        const ConvPlan& plan,
                        const std::vector<int32_t>& kept,
                        const WeightView& weight,
                        bool whole) {
  // Scratch offset of each kernel position; negative where this convolution does not have it.
  std::vector<int64_t> tap_offset(static_cast<size_t>(weight.area), -1);
  for (const Tap& tap : conv.taps) {
    tap_offset[static_cast<size_t>(tap.index)] =
        ((tap.dh - plan.window.top) * plan.cols + tap.dw - plan.window.left) * 16;
  }
  const int64_t row_weights = weight.transposed ? conv.out_channels : conv.in_channels;
  struct Place {
    size_t segment;
    int64_t offset;
  };
  const auto place = [&](int32_t flat) -> Place {
    const int64_t tap = flat % weight.area;
    const int64_t first = flat / weight.area / row_weights;
    const int64_t second = flat / weight.area % row_weights;
    const int64_t in = weight.transposed ? first : second;
    const int64_t out = weight.transposed ? second : first;
    const int64_t block = in / plan.channel_block;
    const int64_t channel = whole ? in : in - block * plan.channel_block;
    const int64_t at = tap_offset[static_cast<size_t>(tap)];
    return {static_cast<size_t>(block * conv.out_channels + out),
            at < 0 ? -1 : channel * plan.channel_stride() + at};
  };
  const int64_t blocks = ceil_div(conv.in_channels, plan.channel_block);
  EntryStream stream;
  stream.bounds.resize(static_cast<size_t>(blocks * conv.out_channels) + 1);
  for (const int32_t flat : kept) {
    const Place p = place(flat);
    if (p.offset >= 0) ++stream.bounds[p.segment + 1];
  }
  for (size_t i = 1; i < stream.bounds.size(); ++i) stream.bounds[i] += stream.bounds[i - 1];
  const auto count = static_cast<size_t>(stream.bounds.back());
  stream.entries.resize(count);
  stream.weights.resize(count);
  std::vector<int64_t> next(stream.bounds.begin(), stream.bounds.end() - 1);
  for (const int32_t flat : kept) {
    const Place p = place(flat);
    if (p.offset < 0) continue;
    const auto at = static_cast<size_t>(next[p.segment]++);
    stream.entries[at] = {static_cast<int32_t>(p.offset),
                          weight.values == nullptr ? 0.0f : weight.values[flat]};
    stream.weights[at] = flat;
  }
  return stream;
}

void fill_scratch(const TapConvolution& conv,
                  const ConvPlan& plan,
                  const float* x,
                  int64_t first_image,
                  int64_t images,
                  int64_t first_row,
                  int64_t first_channel,
                  int64_t count,
                  float* scratch) {
  const int64_t plane = conv.in_h * conv.in_w * 16;
  for (int64_t c = 0; c < count; ++c) {
    for (int64_t n = 0; n < images; ++n) {
      espalier::detail::copy_padded(
          x + ((first_image + n) * conv.in_channels + first_channel + c) * plane,
          1,
          conv.in_h,
          conv.in_w,
          first_row * conv.in_step.h + plan.window.top,
          plan.rows,
          plan.window.left,
          plan.cols,
          scratch + c * plan.channel_stride() + n * plan.rows * plan.cols * 16);
    }
  }
}

std::vector<Tile> tiles_of(const TapConvolution& conv,
                           const ConvPlan& plan,
                           int64_t images,
                           int64_t first_row) {
  const int64_t grid_rows = std::min(plan.strip, conv.grid_h - first_row);
  const int64_t out_image = conv.out_channels * conv.plane_h * conv.plane_w;
  std::vector<Tile> tiles;
  for (int64_t row = 0; row < images * grid_rows; row += plan.tile_rows) {
    for (int64_t col = 0; col < conv.grid_w; col += plan.tile_cols) {
      Tile tile;
      tile.rows = static_cast<int>(std::min<int64_t>(plan.tile_rows, images * grid_rows - row));
      tile.cols = static_cast<int>(std::min<int64_t>(plan.tile_cols, conv.grid_w - col));
      for (int r = 0; r < tile.rows; ++r) {
        const int64_t image = (row + r) / grid_rows;
        const int64_t i = (row + r) % grid_rows;
        const int64_t in_row = image * plan.rows + i * conv.in_step.h;
        const int64_t out_row = conv.out_first.h + (first_row + i) * conv.out_step.h;
        const auto at = static_cast<size_t>(r);
        tile.in_rows[at] = (in_row * plan.cols + col * conv.in_step.w) * 16;
        tile.out_rows[at] = (image * out_image + out_row * conv.plane_w + conv.out_first.w +
                             col * conv.out_step.w) *
                            16;
      }
      tiles.push_back(tile);
    }
  }
  return tiles;
}

}  // namespace espalier::sparse::detail
