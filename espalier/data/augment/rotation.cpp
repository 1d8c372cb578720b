// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/rotation.h>

#include <espalier/core/error.h>
#include <espalier/data/detail/warp.h>

namespace espalier::data {

Rotation::Rotation(double degrees) : degrees_(degrees) {
  ESPALIER_CHECK(degrees >= 0.0 && degrees <= 180.0,
                 ValueError,
                 "rotation: expects degrees in 0..180, got ",
                 degrees);
}

void Rotation::change_image(TrainingImage& image, const Moment& moment) const {
  Rng rng = moment.stream("augment/rotation");
  const double angle = rng.uniform(-degrees_, degrees_);
  detail::warp(image, detail::rotation_map(image.shape, angle));
}

}  // namespace espalier::data
