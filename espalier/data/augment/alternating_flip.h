// SPDX-License-Identifier: Apache-2.0
/// AlternatingFlip: an image is mirrored in every second epoch.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// Which half of the images is mirrored in the first epoch is drawn; the other half is in the
/// second, and so on: two epochs show each image both ways, which random mirroring does for half of
/// them. Source: Jordan, arXiv:2404.00498, section 3.6.
class AlternatingFlip final : public Transform {
 public:
  std::string name() const override { return "alternating-flip"; }
  void change_image(TrainingImage& image, const Moment& moment) const override;
};

}  // namespace espalier::data
