// SPDX-License-Identifier: Apache-2.0
/// Bytes of an image as values in 0 .. 1 and back. Not a public interface.
#pragma once

#include <algorithm>
#include <cmath>

#include <espalier/data/augment/transform.h>
#include <espalier/data/detail/colours.h>

namespace espalier::data::detail {

/// Lets `change` work on the image's planes, then rounds to bytes.
template <class Change>
void in_floats(TrainingImage& image, const Change& change) {
  std::vector<float> values(image.pixels.size());
  std::transform(image.pixels.begin(), image.pixels.end(), values.begin(), [](uint8_t pixel) {
    return static_cast<float>(pixel) / 255.0F;
  });
  const ImageShape& shape = image.shape;
  change(Planes{values.data(), shape.channels, shape.height, shape.width});
  std::transform(values.begin(), values.end(), image.pixels.begin(), [](float value) {
    return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0F, 1.0F) * 255.0F));
  });
}

}  // namespace espalier::data::detail
