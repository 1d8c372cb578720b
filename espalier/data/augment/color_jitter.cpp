// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/color_jitter.h>

#include <algorithm>

#include <espalier/core/error.h>
#include <espalier/data/detail/in_floats.h>

namespace espalier::data {
namespace {

double factor(Rng& rng, double strength) {
  return rng.uniform(std::max(0.0, 1.0 - strength), 1.0 + strength);
}

}  // namespace

ColorJitter::ColorJitter(const ColorJitterOptions& options) : options_(options) {
  ESPALIER_CHECK(options.brightness >= 0.0 && options.contrast >= 0.0 &&
                     options.saturation >= 0.0 && options.hue >= 0.0 && options.hue <= 0.5,
                 ValueError,
                 "color-jitter: expects no negative strength and a hue in 0..0.5, got ",
                 options.brightness,
                 ", ",
                 options.contrast,
                 ", ",
                 options.saturation,
                 " and ",
                 options.hue);
}

void ColorJitter::change_image(TrainingImage& image, const Moment& moment) const {
  Rng rng = moment.stream("augment/color-jitter");
  // Always as many numbers, so that one strength changes nothing of the others.
  const std::vector<int64_t> order = rng.permutation(4);
  const double brightness = factor(rng, options_.brightness);
  const double contrast = factor(rng, options_.contrast);
  const double saturation = factor(rng, options_.saturation);
  const double turns = rng.uniform(-options_.hue, options_.hue);
  detail::in_floats(image, [&](const detail::Planes& planes) {
    for (const int64_t which : order) {
      if (which == 0) detail::change_brightness(planes, brightness);
      if (which == 1) detail::change_contrast(planes, contrast);
      if (which == 2 && planes.coloured()) detail::change_saturation(planes, saturation);
      if (which == 3 && planes.coloured()) detail::turn_hue(planes, turns);
    }
  });
}

}  // namespace espalier::data
