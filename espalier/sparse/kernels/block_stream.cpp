// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/block_stream.h>

#include <algorithm>

namespace espalier::sparse::detail {
namespace {

BlockForm make_form(const Support& support) {
  const BsrIndices blocks = blocked(support, kChannelBlock).indices;
  BlockForm form{.blocks = blocks.count()};
  if (const int64_t positions = blocks.positions(); positions > 0) {
    form.fill = static_cast<double>(support.nnz()) / static_cast<double>(positions);
  }
  return form;
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

std::shared_ptr<const BlockStream> block_stream(const ConvPlan& plan, const Support& support) {
  return support.derived<BlockStream>(
      {0, plan.channel_block, plan.cols, plan.channel_stride()}, [&] {
        return make_block_stream(plan, support, std::max<int64_t>(1, plan.conv.in_channels));
      });
}

}  // namespace espalier::sparse::detail
