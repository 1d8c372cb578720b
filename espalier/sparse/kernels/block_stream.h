// SPDX-License-Identifier: Apache-2.0
/// Weights in blocks of four output channels that share their input channel and tap: found in any
/// mask, whatever made it. A row of blocks whose union is well filled runs in this form, with
/// explicit zeros where a weight is missing. Not a public interface.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include <espalier/sparse/kept_values.h>
#include <espalier/sparse/kernels/conv2d_plan.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse::detail {

/// Output channels of a block.
inline constexpr int kBlockChannels = 4;

/// Calls body(row of blocks, position within an output channel's weights, the ranks among
/// Support::kept() of the block's weights, -1 for one that is not kept) for every block with a kept
/// weight, in order.
template <class F>
void for_each_block(const Support& support, F body) {
  const int64_t channels = support.shape()[0];
  const int64_t filter = channels == 0 ? 0 : support.numel() / channels;
  const uint8_t* mask = support.mask().data<uint8_t>();
  for (int64_t row = 0; row * kBlockChannels < channels; ++row) {
    const int64_t first = row * kBlockChannels;
    const int64_t count = std::min<int64_t>(kBlockChannels, channels - first);
    std::array<int32_t, kBlockChannels> next = {};
    for (int64_t b = 0; b < count; ++b) {
      next[static_cast<size_t>(b)] = kept_before(support, (first + b) * filter);
    }
    for (int64_t i = 0; i < filter; ++i) {
      std::array<int32_t, kBlockChannels> ranks;
      ranks.fill(-1);
      bool any = false;
      for (int64_t b = 0; b < count; ++b) {
        if (mask[(first + b) * filter + i] == 0) continue;
        ranks[static_cast<size_t>(b)] = next[static_cast<size_t>(b)]++;
        any = true;
      }
      if (any) body(row, i, ranks);
    }
  }
}

/// How a support (K,C,..) falls into blocks of four output channels, the last of a layer fewer.
struct BlockForm {
  int64_t blocks = 0;  ///< with at least one kept weight
  double fill = 1.0;   ///< kept weights of all positions of these blocks
};
/// Computed once and kept with the support.
std::shared_ptr<const BlockForm> block_form(const Support& support);
/// Whether the block kernel is the faster one: its products with explicit zeros cost less than what
/// it saves in loads.
bool runs_in_blocks(const Support& support);

/// Rows of taps (those with one dh) that find input: `count` from `first` on.
struct TapRows {
  int64_t first = 0, count = 0;
};
/// Those of `rows` grid rows from `row` on.
TapRows tap_rows_of(const TapConvolution& conv, int64_t row, int64_t rows);
/// All rows of taps.
int64_t tap_rows(const TapConvolution& conv);

/// The blocks that a tap convolution has, in the order of use: block of input channels, row of
/// blocks, row of taps, input channel, tap.
struct BlockStream {
  std::vector<int32_t> offsets;  ///< in the scratch, from a position's origin
  std::vector<int32_t> ranks;    ///< kBlockChannels each, among Support::kept(); -1: a zero
  std::vector<int32_t> bounds;   ///< of these three among the offsets
  int64_t rows = 0;              ///< of blocks
  int64_t parts = 1;             ///< rows of taps

  /// Those of a block of input channels.
  const int32_t* bounds_of(int64_t channel_block) const {
    return bounds.data() + channel_block * rows * parts;
  }
};
/// The stream of a support for a plan of its forward convolution, made once and kept with it.
std::shared_ptr<const BlockStream> block_stream(const ConvPlan& plan, const Support& support);

}  // namespace espalier::sparse::detail
