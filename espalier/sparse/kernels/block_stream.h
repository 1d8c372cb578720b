// SPDX-License-Identifier: Apache-2.0
/// Weights in blocks of four output channels that share their input channel and tap, in the order
/// in which a plan uses them. Not a public interface.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include <espalier/sparse/formats/bsr.h>
#include <espalier/sparse/kernels/conv2d_plan.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse::detail {

/// Output channels of a block.
inline constexpr int kBlockChannels = 4;

/// And its shape in the weight matrix (K, C*R*S).
inline constexpr BlockShape kChannelBlock{kBlockChannels, 1};

/// How a support (K,C,..) falls into blocks of four output channels, the last of a layer fewer.
struct BlockForm {
  int64_t blocks = 0;  ///< with at least one kept weight
  double fill = 1.0;   ///< kept weights of all positions of these blocks
};
/// Computed once and kept with the support.
std::shared_ptr<const BlockForm> block_form(const Support& support);

/// Rows of taps (those with one dh) that find input: `count` from `first` on.
struct TapRows {
  int64_t first = 0, count = 0;
};
/// Those of `rows` grid rows from `row` on.
TapRows tap_rows_of(const TapConvolution& conv, int64_t row, int64_t rows);
/// All rows of taps.
int64_t tap_rows(const TapConvolution& conv);

/// The blocks that a forward tap convolution has, in the order of use: block of input channels, row
/// of blocks, row of taps, input channel, tap.
struct BlockStream {
  std::vector<int32_t> offsets;  ///< in the scratch of a task, from a position's origin
  std::vector<int32_t> ranks;    ///< kBlockChannels each, among Support::kept(); -1: a zero
  std::vector<int32_t> bounds;   ///< of these three among the offsets
  int64_t rows = 0;              ///< of blocks
  int64_t parts = 1;             ///< rows of taps

  /// Those of a block of input channels.
  const int32_t* bounds_of(int64_t channel_block) const {
    return bounds.data() + channel_block * rows * parts;
  }
  int64_t size() const { return static_cast<int64_t>(offsets.size()); }
};
/// The stream of a support for a plan (ConvPlan or BlockBackwardPlan), whose scratch holds
/// `scratch_channels` input channels at a time.
template <class Plan>
BlockStream make_block_stream(const Plan& plan, const Support& support, int64_t scratch_channels) {
  const BlockedEntries weights = blocked(support, kChannelBlock);
  const CsrIndices& blocks = weights.indices.blocks;
  const auto area = static_cast<int64_t>(plan.conv.taps.size());
  const TapOffsets taps(plan, area);
  BlockStream stream;
  stream.parts = tap_rows(plan.conv);
  stream.rows = blocks.rows;
  const int64_t row_area = area / stream.parts;
  const auto segment_of = [&](int64_t row, int64_t column) {
    const int64_t channel_block = taps.channel_of(column) / plan.channel_block;
    return static_cast<size_t>((channel_block * stream.rows + row) * stream.parts +
                               taps.tap_of(column) / row_area);
  };
  stream.bounds.resize(static_cast<size_t>(plan.channel_blocks() * stream.rows * stream.parts) + 1);
  for (int64_t row = 0; row < blocks.rows; ++row) {
    for (const int32_t column : blocks.row(row)) ++stream.bounds[segment_of(row, column) + 1];
  }
  for (size_t i = 1; i < stream.bounds.size(); ++i) stream.bounds[i] += stream.bounds[i - 1];
  stream.offsets.resize(static_cast<size_t>(stream.bounds.back()));
  stream.ranks.resize(stream.offsets.size() * kBlockChannels);
  std::vector<int32_t> next(stream.bounds.begin(), stream.bounds.end() - 1);
  int64_t b = 0;
  for (int64_t row = 0; row < blocks.rows; ++row) {
    for (const int32_t column : blocks.row(row)) {
      const auto at = static_cast<size_t>(next[segment_of(row, column)]++);
      const int64_t channel = taps.channel_of(column) % scratch_channels;
      stream.offsets[at] =
          static_cast<int32_t>(channel * plan.channel_stride() + taps.of_tap(column));
      std::ranges::copy(weights.of_block(b++), stream.ranks.data() + at * kBlockChannels);
    }
  }
  return stream;
}
/// The stream of a support for a plan of its forward convolution, made once and kept with it.
std::shared_ptr<const BlockStream> block_stream(const ConvPlan& plan, const Support& support);

}  // namespace espalier::sparse::detail
