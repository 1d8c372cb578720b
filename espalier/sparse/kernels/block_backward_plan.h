// SPDX-License-Identifier: Apache-2.0
/// How the backward pass in blocks of four output channels is cut into tasks and tiles, and the
/// order of its blocks. Not a public interface.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include <espalier/core/kernels/conv2d/tap_convolution.h>
#include <espalier/sparse/kernels/block_backward_micro.h>
#include <espalier/sparse/kernels/block_stream.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse::detail {

/// A task owns a range of input channels over a share of the samples: dx of these, and their part
/// of the weight's gradient. Its scratch holds x and dx of the range for a strip of grid rows, as
/// [channel][image][row][col] pairs of vectors with zeros around them. Over the strip pass tiles of
/// dy; for each of them blocks of input channels pass through L1.
struct BlockBackwardPlan {
  espalier::detail::TapConvolution conv;  ///< of the forward pass
  espalier::detail::Window window;
  TileShape shape;
  TileSize tile;
  int64_t blocks;  ///< of 16 samples
  int64_t image_groups;
  int64_t channel_block;  ///< input channels that pass through L1 at once
  int64_t range_blocks;   ///< of such blocks in a range
  int64_t ranges, shares;
  int64_t strip, strips;  ///< grid rows
  int64_t rows, cols;     ///< of the scratch, per image

  BlockBackwardPlan(espalier::detail::TapConvolution conv, int64_t blocks, const Support& support);

  int64_t channel_blocks() const;
  int64_t range_channels() const { return range_blocks * channel_block; }
  int64_t image_stride() const { return rows * cols * kPairFloats; }
  int64_t channel_stride() const { return tile.images * image_stride(); }
  int64_t scratch_size() const { return range_channels() * channel_stride(); }
  /// Of a tap, from a position's origin.
  int64_t tap_offset(const espalier::detail::Tap& tap) const {
    return ((tap.dh - window.top) * cols + tap.dw - window.left) * kPairFloats;
  }
  TileStrides scratch_strides() const;
  TileStrides dy_strides() const;

  /// What the task fills into its scratch after this strip (`last_group`: none follow), part
  /// `part` of `parts`.
  Ahead input_ahead(const float* x,
                    int64_t range,
                    int64_t image_group,
                    int64_t strip_index,
                    int64_t last_group,
                    int64_t part,
                    int64_t parts) const;
  int64_t tiles_of_strip() const;

  /// A tile of dy, and the rows of taps that find x there.
  struct Place {
    TileSize exist;
    int64_t scratch;  ///< offset of its origin, in floats
    int64_t dy;       ///< offset of its origin in channel 0
    int64_t next;     ///< distance of the next full tile of these rows in dy; 0: none
    TapRows tap_rows;
  };
  template <class F>
  void for_each_tile(int64_t image_group, int64_t strip_index, F body) const {
    const int64_t image = image_group * tile.images;
    const int64_t first = strip_index * strip;
    const int64_t last = std::min(first + strip, conv.grid_h);
    for (int64_t row = first; row < last; row += tile.rows) {
      Place place;
      place.exist.images = static_cast<int>(std::min<int64_t>(tile.images, blocks - image));
      place.exist.rows = static_cast<int>(std::min<int64_t>(tile.rows, last - row));
      place.tap_rows = tap_rows_of(conv, row, place.exist.rows);
      if (place.tap_rows.count == 0) continue;
      for (int64_t col = 0; col < conv.grid_w; col += tile.cols) {
        place.exist.cols = static_cast<int>(std::min<int64_t>(tile.cols, conv.grid_w - col));
        place.scratch =
            ((row - first) * conv.in_step.h * cols + col * conv.in_step.w) * kPairFloats;
        place.dy =
            (image * conv.out_channels * conv.grid_h * conv.grid_w + row * conv.grid_w + col) * 16;
        place.next = col + 2 * tile.cols <= conv.grid_w ? tile.cols * 16 : 0;
        body(place);
      }
    }
  }

 private:
  void cut(int64_t support_blocks);
};

/// The stream of a support for a plan, made once and kept with the support. Offsets are in the
/// scratch of a range.
std::shared_ptr<const BlockStream> block_backward_stream(const BlockBackwardPlan& plan,
                                                         const Support& support);

}  // namespace espalier::sparse::detail
