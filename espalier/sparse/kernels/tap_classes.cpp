// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/tap_classes.h>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/sparse/kernels/tile.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::Tap;
using espalier::detail::TapConvolution;

constexpr int64_t kLargestPlane = 2;

TapConvolution position_of(const TapConvolution& conv, int64_t row, int64_t col) {
  TapConvolution position = conv;
  position.grid_h = position.grid_w = 1;
  position.out_first.h += row * conv.out_step.h;
  position.out_first.w += col * conv.out_step.w;
  position.taps.clear();
  for (const Tap& tap : conv.taps) {
    const int64_t h = row * conv.in_step.h + tap.dh;
    const int64_t w = col * conv.in_step.w + tap.dw;
    if (h < 0 || h >= conv.in_h || w < 0 || w >= conv.in_w) continue;
    position.taps.push_back({h, w, tap.index});
  }
  return position;
}

}  // namespace

std::vector<TapConvolution> tap_classes(const TapConvolution& conv, int64_t blocks) {
  const int64_t images = tile_size(TileShape::Point).images;
  const bool fills = 2 * blocks > espalier::detail::ceil_div(blocks, images) * images;
  if (conv.grid_h > kLargestPlane || conv.grid_w > kLargestPlane || !fills) return {conv};
  std::vector<TapConvolution> positions;
  for (int64_t row = 0; row < conv.grid_h; ++row) {
    for (int64_t col = 0; col < conv.grid_w; ++col) {
      positions.push_back(position_of(conv, row, col));
      if (positions.back().taps.empty()) return {conv};
    }
  }
  return positions;
}

}  // namespace espalier::sparse::detail
