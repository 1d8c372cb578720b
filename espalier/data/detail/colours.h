// SPDX-License-Identifier: Apache-2.0
/// Changes of colour of one image, in place. Not a public interface.
#pragma once

#include <cstdint>

namespace espalier::data::detail {

/// An image: float32 planes with values in 0 .. 1, red, green and blue where there are three.
struct Planes {
  float* data;
  int64_t channels, height, width;
  int64_t size() const { return height * width; }
  float& at(int64_t c, int64_t pixel) const { return data[c * size() + pixel]; }
  bool coloured() const { return channels == 3; }
  /// Its brightness, as ITU-R BT.601 weighs the colours; of others the first channel.
  double grey(int64_t pixel) const;
};

// Each blends with another image: 0 is that one, 1 leaves all as it is, results are kept in 0 .. 1.
/// With black.
void change_brightness(const Planes& image, double factor);
/// With the mean of its greys.
void change_contrast(const Planes& image, double factor);
/// With each pixel's grey. Of three channels.
void change_saturation(const Planes& image, double factor);
/// With the means of 3x3 pixels, of which the middle one counts as five; pixels of the border stay.
void change_sharpness(const Planes& image, double factor);
/// Turns the colour plane of YIQ, in which the grey stays. Of three channels.
void turn_hue(const Planes& image, double turns);

}  // namespace espalier::data::detail
