// SPDX-License-Identifier: Apache-2.0
/// How a sparse convolution is cut into tasks and tiles, and where its kept weights find their
/// input in the padded scratch of a task. Not a public interface.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <espalier/core/kernels/channel_map.h>
#include <espalier/core/kernels/conv2d/tap_convolution.h>
#include <espalier/sparse/formats/csr.h>
#include <espalier/sparse/kept_values.h>
#include <espalier/sparse/kernels/conv2d_micro.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse::detail {

using espalier::detail::TapConvolution;

/// R*S of a weight (K,C,R,S); 1 of a linear layer's (K,C).
int64_t kernel_area(const Support& support);
/// The tile of blocks of four output channels.
TileShape block_tile_shape(const TapConvolution& conv);

/// A task works on a group of `tile.images` blocks of samples and a strip of grid rows, whose input
/// is copied with zeros around it to [channel][image][row][col] vectors. Tiles pass over the strip;
/// for each of them blocks of input channels pass through L1.
struct ConvPlan {
  TapConvolution conv;
  espalier::detail::Window window;
  TileShape shape;
  TileSize tile;
  int64_t blocks;  ///< of 16 samples
  int64_t image_groups;
  int64_t channel_block;
  int64_t strip, strips;  ///< grid rows of a task
  int64_t rows, cols;     ///< of the scratch, per image

  /// What a tile may read of a block of input channels, in vectors of 16.
  struct TileVectors {
    int64_t least, most;
  };

  /// `density` of the weight chooses the block of channels.
  ConvPlan(const TapConvolution& conv, int64_t blocks, double density);
  /// For weights in blocks of output channels, `density` of which exist, in tiles of four
  /// positions; the kernel's vectors have `vector` floats.
  static ConvPlan in_blocks(TapConvolution conv, int64_t blocks, double density, int64_t vector);

  /// The offset in the scratch of a tap's input, from a position's origin, in input channel 0.
  int64_t tap_offset(const espalier::detail::Tap& tap) const {
    return ((tap.dh - window.top) * cols + tap.dw - window.left) * 16;
  }
  int64_t image_stride() const { return rows * cols * 16; }
  int64_t channel_stride() const { return tile.images * image_stride(); }
  int64_t scratch_size() const { return conv.in_channels * channel_stride(); }
  int64_t channel_blocks() const;
  TileStrides in_strides() const;
  TileStrides out_strides() const;
  /// Whether the output is so large that it should pass the caches by.
  bool streams_output() const;
  int64_t out_channel_stride() const { return conv.plane_h * conv.plane_w * 16; }

  /// The same plan for fewer blocks of samples: the same strips, streams and scratch.
  ConvPlan with_blocks(int64_t fewer) const;

  /// Copies the input of one task into its scratch; zeros for samples that don't exist.
  void fill_scratch(const MappedFloats& in,
                    int64_t image_group,
                    int64_t strip_index,
                    float* scratch) const;

  int64_t tiles_of_strip() const;
  /// What fill_scratch will read for the task after this one, part `part` of `parts`; nothing after
  /// the last.
  Ahead input_ahead(
      const float* in, int64_t image_group, int64_t strip_index, int64_t part, int64_t parts) const;

  /// The tiles of one task, one after another.
  struct Place {
    TileSize exist;
    int64_t in;   ///< offset in the scratch
    int64_t out;  ///< offset in the output tensor, of channel 0
    int64_t row;  ///< of the grid
  };
  template <class F>
  void for_each_tile(int64_t image_group, int64_t strip_index, F body) const {
    const int64_t image = image_group * tile.images;
    const int64_t first = strip_index * strip;
    const int64_t last = first + strip < conv.grid_h ? first + strip : conv.grid_h;
    const auto part = [](int64_t size, int64_t left) {
      return static_cast<int>(left < size ? left : size);
    };
    for (int64_t row = first; row < last; row += tile.rows) {
      for (int64_t col = 0; col < conv.grid_w; col += tile.cols) {
        const int64_t out_row = conv.out_first.h + row * conv.out_step.h;
        const int64_t out_col = conv.out_first.w + col * conv.out_step.w;
        body(Place{{part(tile.images, blocks - image),
                    part(tile.rows, last - row),
                    part(tile.cols, conv.grid_w - col)},
                   ((row - first) * conv.in_step.h * cols + col * conv.in_step.w) * 16,
                   image * conv.out_channels * out_channel_stride() +
                       (out_row * conv.plane_w + out_col) * 16,
                   row});
      }
    }
  }

  /// A kernel's call: `in` is the scratch at the tile's origin.
  struct Call {
    Place place;
    const float* in;
    int64_t index;  ///< among the calls of this tile
    Ahead ahead;
  };
  int64_t tasks() const { return image_groups * strips; }
  /// Runs a task: fills `scratch` (scratch_size() floats), then body(call), with `calls_per_tile`
  /// calls for every tile.
  template <class F>
  void run_task(const MappedFloats& input,
                int64_t task,
                int64_t calls_per_tile,
                float* scratch,
                F body) const {
    const int64_t calls = tiles_of_strip() * calls_per_tile;
    const int64_t group = task / strips;
    const int64_t strip_index = task % strips;
    fill_scratch(input, group, strip_index, scratch);
    int64_t count = 0;
    for_each_tile(group, strip_index, [&](const Place& place) {
      for (int64_t i = 0; i < calls_per_tile; ++i) {
        body(Call{place,
                  scratch + place.in,
                  i,
                  input_ahead(input.data, group, strip_index, count++, calls)});
      }
    });
  }

 private:
  ConvPlan(TapConvolution conv, int64_t blocks, TileShape shape);
  void choose_channel_block(double density, TileVectors range);
  void cut();
};

/// Where the columns of a weight matrix (K, C*R*S) find their input in the scratch of a plan: input
/// channel, then tap.
class TapOffsets {
 public:
  /// Of a ConvPlan or BlockBackwardPlan of a weight with `area` = R*S.
  template <class Plan>
  TapOffsets(const Plan& plan, int64_t area)
      : area_(static_cast<uint32_t>(area)), taps_(static_cast<size_t>(area), kNoTap) {
    for (const espalier::detail::Tap& tap : plan.conv.taps) {
      taps_[static_cast<size_t>(tap.index)] = plan.tap_offset(tap);
    }
  }
  /// A column's input channel.
  int64_t channel_of(int64_t column) const { return static_cast<uint32_t>(column) / area_; }
  /// And its tap.
  int64_t tap_of(int64_t column) const { return static_cast<uint32_t>(column) % area_; }
  /// Whether the convolution has a column's tap.
  bool has(int64_t column) const { return of_tap(column) != kNoTap; }
  /// From a position's origin, in input channel 0.
  int64_t of_tap(int64_t column) const { return taps_[static_cast<size_t>(tap_of(column))]; }

 private:
  static constexpr int64_t kNoTap = std::numeric_limits<int64_t>::min();
  uint32_t area_;
  std::vector<int64_t> taps_;
};

/// The kept weights that a tap convolution has, in the order of use: range of output channels,
/// block of input channels, output channel, input channel, tap.
struct EntryStream {
  std::vector<int64_t> ranges;   ///< first output channel of each range, and the end
  std::vector<int32_t> offsets;  ///< in the scratch, from a position's origin
  std::vector<int32_t> ranks;    ///< of the weight among Support::kept()
  std::vector<int32_t> bounds;
  int64_t channel_blocks = 0;

  int64_t size() const { return static_cast<int64_t>(offsets.size()); }
  int64_t range_count() const { return static_cast<int64_t>(ranges.size()) - 1; }
  /// The bounds of the channels of a range in a block of input channels.
  const int32_t* bounds_of(int64_t range, int64_t block) const {
    const int64_t first = ranges[static_cast<size_t>(range)];
    const int64_t size = ranges[static_cast<size_t>(range) + 1] - first;
    return bounds.data() + channel_blocks * first + block * size;
  }
  /// Where a range begins, and where it ends, among the entries.
  int64_t begin_of(int64_t range) const {
    return bounds[static_cast<size_t>(channel_blocks * ranges[static_cast<size_t>(range)])];
  }
  int64_t end_of(int64_t range) const { return begin_of(range + 1); }
};

/// The stream of a support for a plan, made once and kept with the support. `transposed`: dimension
/// 0 of the weight is the input of the convolution (backward). `max_per_range`: output channels are
/// cut into ranges of about equally many weights, at most this many where one channel allows it,
/// and into `min_ranges` at least; 0: one range.
std::shared_ptr<const EntryStream> entry_stream(const ConvPlan& plan,
                                                const Support& support,
                                                bool transposed,
                                                int64_t max_per_range = 0,
                                                int64_t min_ranges = 1);

/// The kept values of a weight that is given dense, or as these already.
Tensor values_of(const Tensor& weight, const Support& support);

}  // namespace espalier::sparse::detail
