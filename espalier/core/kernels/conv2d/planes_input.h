// SPDX-License-Identifier: Apache-2.0
/// The input of a convolution of one sample, arranged so that kernels with pixels in the lanes have
/// no edges: every tap of every run of 16 outputs is one load. Not the kernels themselves. Not a
/// public interface.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/core/kernels/conv2d/planes_fill.h>
#include <espalier/core/kernels/conv2d/tap_convolution.h>

namespace espalier::detail {

/// Floats that must be readable before and after what a planes kernel reads.
inline constexpr int64_t kPlanesSlack = 64;

/// Where the runs of 16 neighbouring outputs of a plane lie: `rows` x `cols` vectors. A plane whose
/// width is not a multiple of 16 is one column of vectors, its rows one after another; the last
/// vector may reach over its end.
struct PlanesGrid {
  int64_t rows, cols;
  int64_t in_pitch;   ///< floats from a row of vectors to the next in the input's copies
  int64_t out_pitch;  ///< and in the output
  int64_t positions;  ///< of the plane
};

/// How one sample's input (C,H,W) is copied, and where taps find it. Each channel becomes some
/// planes; with `shifted` one for each column of the kernel, so that loads are aligned as far as
/// the width allows, and otherwise one for each phase of a stride, where all columns of the kernel
/// share it and loads begin anywhere. Narrow planes (width not a multiple of 16) are always
/// shifted, which costs less than the lanes that their rows' ends would waste.
class PlanesInput {
 public:
  /// Of one group of the forward convolution `conv`. Taps that meet nothing but padding are
  /// dropped.
  PlanesInput(const TapConvolution& conv, bool shifted);

  const PlanesGrid& grid() const { return grid_; }
  /// The taps that are left: their offsets from an output's place in channel 0, and their indices
  /// in the weight.
  const std::vector<int32_t>& tap_offsets() const { return offsets_; }
  const std::vector<int32_t>& tap_indices() const { return indices_; }
  /// Floats between channels.
  int64_t channel_stride() const { return channel_stride_; }
  /// Whether x itself serves: nothing is to be copied. Then kPlanesSlack floats behind x are read.
  bool in_place() const { return in_place_; }
  /// Floats of the copies of `channels` channels, slack included; 0 in place.
  int64_t size(int64_t channels) const {
    return in_place_ ? 0 : channels * channel_stride_ + kPlanesSlack;
  }
  /// Copies channels [first, last) of x to their places in `scratch` (64-byte aligned).
  /// kPlanesSlack floats before and behind x are read, and mean nothing.
  void fill(const float* x, int64_t first, int64_t last, float* scratch) const;

 private:
  int64_t in_h_, in_w_;
  int64_t pitch_ = 0;
  bool in_place_ = false;
  PlanesGrid grid_{};
  std::vector<PlanesCopy> copies_;
  PlanesFill fill_;
  std::vector<int32_t> offsets_, indices_;
  int64_t channel_stride_ = 0;
};

}  // namespace espalier::detail
