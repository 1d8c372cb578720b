// SPDX-License-Identifier: Apache-2.0
/// An image seen through an affine map. Not a public interface.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data::detail {

/// Where a place (x, y) of the result lies in the image: x' = xx x + xy y + x0, y' = yx x + yy y +
/// y0, in pixels from the upper left corner; the middle of the first pixel is at (0.5, 0.5).
struct AffineMap {
  double xx = 1.0, xy = 0.0, x0 = 0.0;
  double yx = 0.0, yy = 1.0, y0 = 0.0;
};

/// Counterclockwise about the middle of the image.
AffineMap rotation_map(const ImageShape& shape, double degrees);

/// Each pixel of the result is the one that its middle lies in; black outside of the image.
void warp(TrainingImage& image, const AffineMap& map);

}  // namespace espalier::data::detail
