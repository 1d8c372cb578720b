// SPDX-License-Identifier: Apache-2.0
/// Transforms of one training image: what is drawn at random is a small value (`Placement`), how it
/// is applied is a plain function of it. Normalization happens in `normalize.h`, while a batch is
/// filled.
#pragma once

#include <cstdint>
#include <span>

#include <espalier/core/random.h>
#include <espalier/data/dataset.h>

namespace espalier::data {

/// Random changes of a training image; all seeded per (seed, epoch, sample).
struct Augmentation {
  int64_t crop_padding =
      0;  ///< zero-pad (black) by this many pixels and cut a random window; 0 = off
  bool horizontal_flip = false;  ///< mirror with probability 1/2; not for digits
  int64_t cutout = 0;            ///< side of a square set to the mean; 0 = off. arXiv:1708.04552
};

/// A rectangle of pixels, end exclusive; empty when no pixel is inside.
struct Box {
  int64_t top = 0;     ///< first row
  int64_t left = 0;    ///< first column
  int64_t bottom = 0;  ///< behind the last row
  int64_t right = 0;   ///< behind the last column
  /// True when no pixel is inside.
  bool empty() const { return top >= bottom || left >= right; }
  bool operator==(const Box&) const = default;
};

/// What was drawn for one image.
struct Placement {
  int64_t shift_y = 0;  ///< the window starts at this row of the image; negative rows are padding
  int64_t shift_x = 0;  ///< the same for columns
  bool mirror = false;  ///< applied after the crop
  Box cutout = {};      ///< in the result; set to the mean, that is 0 after normalization
  bool operator==(const Placement&) const = default;
};

/// Draws the placement of sample `index` in epoch `epoch`: a pure function of its arguments. Each
/// kind of change has its own random stream, so that switching one on does not change the others.
/// The centre of the cutout is uniform over the image; the square is clipped at the border, as in
/// the paper. Throws ValueError for a negative padding or side.
Placement draw_placement(const Augmentation& augmentation,
                         const ImageShape& shape,
                         uint64_t seed,
                         int64_t epoch,
                         int64_t index);

/// Crops and mirrors: out[c,y,x] = in[c, y + shift_y, x' + shift_x] with x' = x or, mirrored,
/// W-1-x; 0 outside. Both hold C*H*W values, planes first, and must not overlap. The cutout is not
/// applied.
void crop_and_mirror(std::span<const uint8_t> in,
                     const ImageShape& shape,
                     const Placement& placement,
                     std::span<uint8_t> out);

}  // namespace espalier::data
