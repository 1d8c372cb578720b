// SPDX-License-Identifier: Apache-2.0
/// CutMix: a rectangle of each image of a batch is that of another one, and the label in
/// proportion.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// The rectangle of a batch has its middle anywhere in the image and sides of sqrt(1-s) times the
/// image's, s drawn from Beta(alpha, alpha), clipped at the borders; a sample keeps of its label
/// (`Batch::shares`) the share of the image that is left. Partners as in mixup.h. Source: Yun et
/// al., arXiv:1905.04899, section 3.1; torchvision's CutMix.
class CutMix final : public Transform {
 public:
  /// Throws ValueError unless alpha is above 0.
  explicit CutMix(double alpha = 1.0);
  std::string name() const override { return "cutmix"; }
  void change_batch(Batch& batch, int64_t classes, const Moment& moment) const override;
  /// The rectangle of a share and a middle, as above.
  static Box box_of(const ImageShape& shape, double share, int64_t y, int64_t x);

 private:
  double alpha_;
};

}  // namespace espalier::data
