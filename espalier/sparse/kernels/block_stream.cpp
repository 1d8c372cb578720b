// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/block_stream.h>

#include <algorithm>

#include <espalier/core/kernels/conv2d/padded.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::Tap;

// Kept weights of a block's positions from which the block kernel wins (Zen 4; the ratio of the
// two kernels' shares of the FMA peak).
constexpr double kLeastFill = 0.65;

BlockForm make_form(const Support& support) {
  BlockForm form;
  int64_t positions = 0;
  const int64_t channels = support.shape()[0];
  for_each_block(support, [&](int64_t row, int64_t, const auto&) {
    ++form.blocks;
    positions += std::min<int64_t>(kBlockChannels, channels - row * kBlockChannels);
  });
  if (positions > 0) {
    form.fill = static_cast<double>(support.nnz()) / static_cast<double>(positions);
  }
  return form;
}

BlockStream make_stream(const ConvPlan& plan, const Support& support) {
  const int64_t channels = support.shape()[0];
  const auto area = static_cast<int64_t>(plan.conv.taps.size());
  std::vector<int64_t> tap_offsets(static_cast<size_t>(area));
  for (const Tap& tap : plan.conv.taps) {
    tap_offsets[static_cast<size_t>(tap.index)] = plan.tap_offset(tap);
  }
  BlockStream stream;
  stream.parts = tap_rows(plan.conv);
  stream.rows = ceil_div(channels, kBlockChannels);
  const int64_t row_area = area / stream.parts;
  const auto segment_of = [&](int64_t row, int64_t i) {
    const int64_t channel_block = i / area / plan.channel_block;
    return static_cast<size_t>((channel_block * stream.rows + row) * stream.parts +
                               i % area / row_area);
  };
  stream.bounds.resize(static_cast<size_t>(plan.channel_blocks() * stream.rows * stream.parts) + 1);
  for_each_block(support, [&](int64_t row, int64_t i, const auto&) {
    ++stream.bounds[segment_of(row, i) + 1];
  });
  for (size_t i = 1; i < stream.bounds.size(); ++i) stream.bounds[i] += stream.bounds[i - 1];
  stream.offsets.resize(static_cast<size_t>(stream.bounds.back()));
  stream.ranks.resize(stream.offsets.size() * kBlockChannels);
  std::vector<int32_t> next(stream.bounds.begin(), stream.bounds.end() - 1);
  for_each_block(support, [&](int64_t row, int64_t i, const auto& ranks) {
    const auto at = static_cast<size_t>(next[segment_of(row, i)]++);
    const int64_t offset =
        i / area * plan.channel_stride() + tap_offsets[static_cast<size_t>(i % area)];
    stream.offsets[at] = static_cast<int32_t>(offset);
    std::ranges::copy(ranks, stream.ranks.data() + at * kBlockChannels);
  });
  return stream;
}

}  // namespace

int64_t tap_rows(const TapConvolution& conv) {
  int64_t count = 0;
  for (size_t t = 0; t < conv.taps.size(); ++t) {
    count += t == 0 || conv.taps[t].dh != conv.taps[t - 1].dh;
  }
  return count;
}

TapRows tap_rows_of(const TapConvolution& conv, int64_t row, int64_t rows) {
  const int64_t top = row * conv.in_step.h;
  const int64_t bottom = (row + rows - 1) * conv.in_step.h;
  TapRows found;
  int64_t part = -1;
  for (size_t t = 0; t < conv.taps.size(); ++t) {
    const int64_t dh = conv.taps[t].dh;
    if (t > 0 && dh == conv.taps[t - 1].dh) continue;
    ++part;
    if (bottom + dh < 0 || top + dh >= conv.in_h) continue;
    if (found.count == 0) found.first = part;
    found.count = part - found.first + 1;
  }
  return found;
}

std::shared_ptr<const BlockForm> block_form(const Support& support) {
  return support.derived<BlockForm>({}, [&] { return make_form(support); });
}

bool runs_in_blocks(const Support& support) {
  return block_form(support)->fill >= kLeastFill;
}

std::shared_ptr<const BlockStream> block_stream(const ConvPlan& plan, const Support& support) {
  return support.derived<BlockStream>({plan.channel_block, plan.cols, plan.channel_stride()},
                                      [&] { return make_stream(plan, support); });
}

}  // namespace espalier::sparse::detail
