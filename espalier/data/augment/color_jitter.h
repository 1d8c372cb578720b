// SPDX-License-Identifier: Apache-2.0
/// ColorJitter: other brightness, contrast, saturation and hue.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// How far the colours go, as torchvision's options of these names.
struct ColorJitterOptions {
  double brightness = 0.4;  ///< a factor of 1 +- so much, not below 0
  double contrast = 0.4;    ///< the same about the image's mean grey
  double saturation = 0.4;  ///< the same about each pixel's grey; of three channels
  double hue = 0.1;         ///< so many turns of the colour circle at most; of three channels
};

/// In a random order, as torchvision's ColorJitter; hue turns in YIQ, not in HSV, so that greys
/// stay. Values are rounded once, at the end.
class ColorJitter final : public Transform {
 public:
  /// Throws ValueError for a negative option and for a hue above 0.5.
  explicit ColorJitter(const ColorJitterOptions& options = {});
  std::string name() const override { return "color-jitter"; }
  void change_image(TrainingImage& image, const Moment& moment) const override;

 private:
  ColorJitterOptions options_;
};

}  // namespace espalier::data
