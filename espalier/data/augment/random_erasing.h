// SPDX-License-Identifier: Apache-2.0
/// RandomErasing: a random rectangle of an image becomes the mean.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// Which rectangles; the defaults are torchvision's and the paper's.
struct RandomErasingOptions {
  double probability = 0.5;  ///< that an image has one
  double least_area = 0.02;  ///< its share of the image ..
  double most_area = 0.33;   ///< .. is uniform between these
  double least_ratio = 0.3;  ///< height by width; the logarithm is uniform between this ..
  double most_ratio = 3.3;   ///< .. and this
};

/// Ten rectangles are drawn until one fits into the image; if none does, the image stays.
/// Source: Zhong et al., arXiv:1708.04896; torchvision's RandomErasing with value 0.
class RandomErasing final : public Transform {
 public:
  /// Throws ValueError for a probability or shares out of 0..1, ratios not above 0, and for a least
  /// above its most.
  explicit RandomErasing(const RandomErasingOptions& options = {});
  std::string name() const override { return "erasing"; }
  void change_image(TrainingImage& image, const Moment& moment) const override;

 private:
  RandomErasingOptions options_;
};

}  // namespace espalier::data
