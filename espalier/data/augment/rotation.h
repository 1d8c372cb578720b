// SPDX-License-Identifier: Apache-2.0
/// Rotation: an image turned about its middle by a random angle.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// By an angle uniform in -degrees .. degrees, nearest pixels, black where nothing is: the defaults
/// of torchvision's RandomRotation.
class Rotation final : public Transform {
 public:
  /// Throws ValueError unless `degrees` is in 0 .. 180.
  explicit Rotation(double degrees = 15.0);
  std::string name() const override { return "rotation"; }
  void change_image(TrainingImage& image, const Moment& moment) const override;

 private:
  double degrees_;
};

}  // namespace espalier::data
