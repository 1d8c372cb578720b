// SPDX-License-Identifier: Apache-2.0
/// Mixup: each image of a batch fades into another one, and so do their labels.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// image = s own + (1-s) partner's, and the same of one-hot labels (`Batch::shares`): s of the
/// batch is drawn from Beta(alpha, alpha), a sample's partner is the one before it. Source: Zhang
/// et al., arXiv:1710.09412, equation 1; partners as in torchvision's MixUp.
class Mixup final : public Transform {
 public:
  /// Throws ValueError unless alpha is above 0.
  explicit Mixup(double alpha = 0.2);
  std::string name() const override { return "mixup"; }
  void change_batch(Batch& batch, int64_t classes, const Moment& moment) const override;

 private:
  double alpha_;
};

}  // namespace espalier::data
