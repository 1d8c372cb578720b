// SPDX-License-Identifier: Apache-2.0
/// How a sparse convolution is cut into tasks and tiles, and its kept weights as offsets into the
/// padded scratch of a task. Not a public interface.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <espalier/core/kernels/tap_convolution.h>
#include <espalier/sparse/kernels/conv2d_micro.h>

namespace espalier::sparse::detail {

using espalier::detail::Tap;
using espalier::detail::TapConvolution;
using espalier::detail::Window;

/// A task works on `images` blocks of samples and a strip of grid rows, whose input is copied with
/// zeros around it to [channel][image][row][col] vectors.
struct ConvPlan {
  Window window;
  bool tall;  ///< shape of the tile
  int tile_rows, tile_cols;
  int64_t channel_block;  ///< input channels whose part of a tile stays in L1
  int64_t images;
  int64_t strip;  ///< grid rows of a task
  int64_t strips, image_groups;
  int64_t rows, cols;  ///< of the scratch, per image

  /// `scratch_channels`: how many input channels a task copies at once; 0 for one channel_block.
  ConvPlan(const TapConvolution& conv,
           int64_t blocks,
           double density,
           int64_t scratch_channels = 0);
  int64_t channel_stride() const { return images * rows * cols * 16; }
};

/// Kept weights in the order of use: block of input channels, output channel, input channel, tap.
struct EntryStream {
  std::vector<Entry> entries;
  std::vector<int64_t>
      bounds;  ///< segment (block b, channel k) starts at bounds[b*out_channels + k]
  std::vector<int32_t> weights;  ///< flat position of each entry in the weight
};

/// A dense weight, as a tap convolution sees it.
struct WeightView {
  const float* values;  ///< null: only positions are wanted
  int64_t area;         ///< R*S
  bool transposed;      ///< dimension 0 is the convolution's input (backward-data)
};

/// `kept` must be ordered by output channel of `conv`, then input channel. `whole`: the scratch
/// holds all input channels, not one block of them.
EntryStream make_stream(const TapConvolution& conv,
                        const ConvPlan& plan,
                        const std::vector<int32_t>& kept,
                        const WeightView& weight,
                        bool whole);

/// Copies channels first .. first+count of the input of one task into the scratch.
void fill_scratch(const TapConvolution& conv,
                  const ConvPlan& plan,
                  const float* x,
                  int64_t first_image,
                  int64_t images,
                  int64_t first_row,
                  int64_t first_channel,
                  int64_t count,
                  float* scratch);

/// The tiles of a task, one after another: rows of all its images, then columns.
struct Tile {
  std::array<int64_t, kTallRows> in_rows;   ///< offsets in the scratch, in floats
  std::array<int64_t, kTallRows> out_rows;  ///< offsets from the first image's first output channel
  int rows = 0, cols = 0;
};
std::vector<Tile> tiles_of(const TapConvolution& conv,
                           const ConvPlan& plan,
                           int64_t images,
                           int64_t first_row);

}  // namespace espalier::sparse::detail
