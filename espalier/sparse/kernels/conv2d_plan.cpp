// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_plan.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <espalier/core/kernels/conv2d/padded.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::Tap;
using espalier::detail::Window;

// Kept weights of a channel in one block of input channels that pay for loading and storing its
// sums; and the vectors of input that a tile may read from a block: L1 holds 512, and at low
// density most of them are not touched. Measured on Zen 4, with AVX-512 and with AVX2, at densities
// 0.2 to 0.02; in blocks, whose sums are four times as many, on Zen 3 at 0.2 to 0.05.
constexpr double kSegmentEntries = 25.0;
constexpr ConvPlan::TileVectors kTileVectors{384, 768};
constexpr ConvPlan::TileVectors kTileVectorsInBlocks{800, 1600};
// So few weights leave segments of half a dozen: twice as many vectors of input cost less then.
constexpr double kLowDensity = 0.03;
constexpr ConvPlan::TileVectors kTileVectorsAtLowDensity{384, 1536};
// Bytes that a task copies at once: what a 1 MB L2 holds beside the tile's sums.
constexpr int64_t kScratchBytes = 768 << 10;
// Outputs of this size are not found in any cache by who reads them next, and reading their lines
// only to overwrite them takes a third of the traffic (64x32x32 at 95 %: 1.4 times as fast
// without).
constexpr int64_t kStreamedBytes = 16 << 20;
// Tasks that a small batch is cut into at least, where the plane allows it.
constexpr int64_t kMinTasks = 8;

TileShape tile_shape(const TapConvolution& conv) {
  if (conv.grid_w > 2 || conv.grid_h > 2) return TileShape::Plane;
  return conv.grid_w * conv.grid_h > 1 ? TileShape::Pair : TileShape::Point;
}

// Planes up to this wide are cut into rows in blocks of channels: there it pays to leave out the
// rows of taps that lie outside.
constexpr int64_t kRowWidth = 8;

}  // namespace

int64_t kernel_area(const Support& support) {
  const Shape& shape = support.shape();
  return shape.rank() == 2 ? 1 : shape[2] * shape[3];
}

TileShape block_tile_shape(const TapConvolution& conv) {
  if (conv.grid_w * conv.grid_h <= 1) return TileShape::Quad;
  return conv.grid_w > 2 && conv.grid_w <= kRowWidth ? TileShape::Row : TileShape::Square;
}

ConvPlan::ConvPlan(TapConvolution convolution, int64_t sample_blocks, TileShape tile_form)
    : conv(std::move(convolution)),
      window(conv.taps),
      shape(tile_form),
      tile(tile_size(shape)),
      blocks(sample_blocks),
      image_groups(ceil_div(sample_blocks, tile.images)),
      channel_block(std::max<int64_t>(1, conv.in_channels)) {}

ConvPlan::ConvPlan(const TapConvolution& convolution, int64_t sample_blocks, double density)
    : ConvPlan(convolution, sample_blocks, tile_shape(convolution)) {
  choose_channel_block(density, density < kLowDensity ? kTileVectorsAtLowDensity : kTileVectors);
  cut();
}

ConvPlan ConvPlan::in_blocks(TapConvolution conv, int64_t blocks, double density, int64_t vector) {
  const TileShape shape = block_tile_shape(conv);
  ConvPlan plan(std::move(conv), blocks, shape);
  // Where a line is one vector, all input channels pass at once: it meets four products then, and
  // L2 keeps up. Else its halves are used in different passes, and should stay in L1 between them
  // (the loop alone on Zen 3 with AVX2: 90 % of the peak in L1, 50 % from L2).
  if (vector < 16) plan.choose_channel_block(density, kTileVectorsInBlocks);
  plan.cut();
  return plan;
}

void ConvPlan::choose_channel_block(double density, TileVectors range) {
  const int64_t vectors = tile.images * ((tile.rows - 1) * conv.in_step.h + window.height()) *
                          ((tile.cols - 1) * conv.in_step.w + window.width());
  const double per_channel = static_cast<double>(conv.taps.size()) * std::max(density, 1e-4);
  channel_block = static_cast<int64_t>(std::ceil(kSegmentEntries / per_channel));
  channel_block = std::clamp<int64_t>(channel_block,
                                      std::max<int64_t>(1, range.least / vectors),
                                      std::max<int64_t>(1, range.most / vectors));
  channel_block = std::clamp<int64_t>(channel_block, 1, std::max<int64_t>(1, conv.in_channels));
}

ConvPlan ConvPlan::with_blocks(int64_t fewer) const {
  ConvPlan plan = *this;
  plan.blocks = fewer;
  plan.image_groups = ceil_div(fewer, tile.images);
  return plan;
}

void ConvPlan::cut() {
  const auto whole_tiles = [](int64_t size, int64_t of) { return ceil_div(size, of) * of; };
  cols = (whole_tiles(conv.grid_w, tile.cols) - 1) * conv.in_step.w + window.width();
  const int64_t row_bytes = conv.in_channels * tile.images * cols * 16 * int64_t{sizeof(float)};
  const int64_t fitting =
      (kScratchBytes / std::max<int64_t>(1, row_bytes) - window.height()) / conv.in_step.h + 1;
  const int64_t sharing = ceil_div(conv.grid_h, ceil_div(kMinTasks, image_groups));
  const int64_t wanted = std::max<int64_t>(1, std::min(fitting, sharing));
  // Strips of about equal height.
  strip = whole_tiles(ceil_div(conv.grid_h, ceil_div(conv.grid_h, wanted)), tile.rows);
  strips = ceil_div(conv.grid_h, strip);
  rows = (strip - 1) * conv.in_step.h + window.height();
}

bool ConvPlan::streams_output() const {
  return blocks * conv.out_channels * out_channel_stride() * int64_t{sizeof(float)} >=
         kStreamedBytes;
}

int64_t ConvPlan::channel_blocks() const {
  return ceil_div(conv.in_channels, channel_block);
}

TileStrides ConvPlan::in_strides() const {
  return {image_stride(), conv.in_step.h * cols * 16, conv.in_step.w * 16};
}

TileStrides ConvPlan::out_strides() const {
  return {conv.out_channels * out_channel_stride(),
          conv.out_step.h * conv.plane_w * 16,
          conv.out_step.w * 16};
}

void ConvPlan::fill_scratch(const MappedFloats& in,
                            int64_t image_group,
                            int64_t strip_index,
                            float* scratch) const {
  const int64_t plane = conv.in_h * conv.in_w * 16;
  const int64_t first = strip_index * strip * conv.in_step.h + window.top;
  const espalier::detail::PaddedPart part{conv.in_h, conv.in_w, first, rows, window.left, cols};
  for (int64_t c = 0; c < conv.in_channels; ++c) {
    for (int64_t i = 0; i < tile.images; ++i, scratch += image_stride()) {
      const int64_t image = image_group * tile.images + i;
      if (image >= blocks) {
        std::fill_n(scratch, image_stride(), 0.0f);
        continue;
      }
      const float* from = in.data + (image * conv.in_channels + c) * plane;
      espalier::detail::copy_padded(part, {from, in.map}, c, 1, scratch);
    }
  }
}

int64_t ConvPlan::tiles_of_strip() const {
  return ceil_div(strip, tile.rows) * ceil_div(conv.grid_w, tile.cols);
}

Ahead ConvPlan::input_ahead(
    const float* in, int64_t image_group, int64_t strip_index, int64_t part, int64_t parts) const {
  int64_t read = strip_index * strip * conv.in_step.h + window.top + rows;  // rows read until now
  int64_t end = read + strip * conv.in_step.h;
  if (++strip_index == strips) {
    if (++image_group == image_groups) return {};
    read = window.top;
    end = window.top + rows;
  }
  read = std::clamp<int64_t>(read, 0, conv.in_h);
  end = std::clamp<int64_t>(end, read, conv.in_h);
  const int64_t plane = conv.in_h * conv.in_w * 16;
  const int64_t images = std::min<int64_t>(tile.images, blocks - image_group * tile.images);
  const int64_t runs = images * conv.in_channels;
  const int64_t first = part * runs / parts;
  return {.from = in + (image_group * tile.images * conv.in_channels + first) * plane +
                  read * conv.in_w * 16,
          .run_lines = (end - read) * conv.in_w,
          .runs = (part + 1) * runs / parts - first,
          .run_stride = plane};
}

namespace {

/// Where a weight's entry goes.
struct EntryPlace {
  int64_t out, block, offset;
};

/// Maps entries of a weight matrix (K, C*R*S) to entries of a plan.
class EntryMap {
 public:
  EntryMap(const ConvPlan& plan, const Support& support, bool transposed)
      : plan_(plan), taps_(plan, kernel_area(support)), transposed_(transposed) {}

  /// False when the convolution does not have the weight's tap.
  bool find(int64_t row, int64_t column, EntryPlace& place) const {
    if (!taps_.has(column)) return false;
    const int64_t channel = taps_.channel_of(column);
    const int64_t in = transposed_ ? row : channel;
    place.out = transposed_ ? channel : row;
    place.block = static_cast<uint32_t>(in) / static_cast<uint32_t>(plan_.channel_block);
    place.offset = in * plan_.channel_stride() + taps_.of_tap(column);
    return true;
  }

 private:
  const ConvPlan& plan_;
  TapOffsets taps_;
  bool transposed_;
};

/// Cuts channels with `counts` weights each into ranges of about `target` weights.
std::vector<int64_t> cut_ranges(const std::vector<int64_t>& counts, double target) {
  std::vector<int64_t> ranges = {0};
  double sum = 0.0;
  const auto channels = static_cast<int64_t>(counts.size());
  for (int64_t k = 0; k < channels; ++k) {
    const auto count = static_cast<double>(counts[static_cast<size_t>(k)]);
    if (sum > 0.0 && sum + count / 2 > target) {
      ranges.push_back(k);
      sum = 0.0;
    }
    sum += count;
  }
  ranges.push_back(channels);
  return ranges;
}

EntryStream make_stream(const ConvPlan& plan,
                        const Support& support,
                        bool transposed,
                        int64_t max_per_range,
                        int64_t min_ranges) {
  const EntryMap map(plan, support, transposed);
  const CsrIndices weights = csr_indices(support);
  // Of one output channel of the plan's convolution these come ordered by input channel, then tap.
  const auto for_each_entry = [&](auto body) {
    EntryPlace place;
    int32_t rank = 0;
    for (int64_t row = 0; row < weights.rows; ++row) {
      for (const int32_t column : weights.row(row)) {
        if (map.find(row, column, place)) body(place, rank);
        ++rank;
      }
    }
  };
  EntryStream stream;
  stream.channel_blocks = plan.channel_blocks();
  const int64_t channels = plan.conv.out_channels;
  if (max_per_range == 0) {
    stream.ranges = {0, channels};
  } else {
    std::vector<int64_t> counts(static_cast<size_t>(channels));
    int64_t total = 0;
    for_each_entry([&](const EntryPlace& place, int32_t) {
      ++counts[static_cast<size_t>(place.out)];
      ++total;
    });
    const int64_t wanted = std::max(ceil_div(total, max_per_range), min_ranges);
    stream.ranges = cut_ranges(counts, static_cast<double>(total) / static_cast<double>(wanted));
  }
  // The first segment of each channel, and the distance to its segment in the next block.
  std::vector<int64_t> segment(static_cast<size_t>(channels));
  std::vector<int64_t> to_next_block(static_cast<size_t>(channels));
  for (size_t r = 0; r + 1 < stream.ranges.size(); ++r) {
    const int64_t first = stream.ranges[r];
    const int64_t size = stream.ranges[r + 1] - first;
    for (int64_t k = first; k < first + size; ++k) {
      segment[static_cast<size_t>(k)] = stream.channel_blocks * first + k - first;
      to_next_block[static_cast<size_t>(k)] = size;
    }
  }
  const auto segment_of = [&](const EntryPlace& place) {
    const auto k = static_cast<size_t>(place.out);
    return static_cast<size_t>(segment[k] + place.block * to_next_block[k]);
  };
  stream.bounds.resize(static_cast<size_t>(stream.channel_blocks * channels) + 1);
  for_each_entry([&](const EntryPlace& place, int32_t) { ++stream.bounds[segment_of(place) + 1]; });
  for (size_t i = 1; i < stream.bounds.size(); ++i) stream.bounds[i] += stream.bounds[i - 1];
  stream.offsets.resize(static_cast<size_t>(stream.bounds.back()));
  stream.ranks.resize(stream.offsets.size());
  std::vector<int32_t> next(stream.bounds.begin(), stream.bounds.end() - 1);
  for_each_entry([&](const EntryPlace& place, int32_t rank) {
    const auto at = static_cast<size_t>(next[segment_of(place)]++);
    stream.offsets[at] = static_cast<int32_t>(place.offset);
    stream.ranks[at] = rank;
  });
  return stream;
}

}  // namespace

std::shared_ptr<const EntryStream> entry_stream(const ConvPlan& plan,
                                                const Support& support,
                                                bool transposed,
                                                int64_t max_per_range,
                                                int64_t min_ranges) {
  std::vector<int64_t> key = {transposed, max_per_range, min_ranges, plan.channel_block, plan.cols};
  key.push_back(plan.channel_stride());
  for (const Tap& tap : plan.conv.taps) {
    key.insert(key.end(), {tap.dh, tap.dw, tap.index});
  }
  return support.derived<EntryStream>(
      key, [&] { return make_stream(plan, support, transposed, max_per_range, min_ranges); });
}

Tensor values_of(const Tensor& weight, const Support& support) {
  if (weight.shape() == Shape({support.nnz()})) return weight;
  // A linear layer's support is (K,C) where the kernel's weight may be (K,C,1,1).
  return kept_values(weight.contiguous().reshape(support.shape()), support);
}

}  // namespace espalier::sparse::detail
