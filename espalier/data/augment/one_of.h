// SPDX-License-Identifier: Apache-2.0
/// OneOf: one of several transforms, chosen anew for every image and every batch.
#pragma once

#include <memory>

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// Each with the same probability. Mixup and CutMix are used so together.
class OneOf final : public Transform {
 public:
  /// Throws ValueError for no transform, or a null one.
  explicit OneOf(std::vector<std::shared_ptr<const Transform>> transforms);
  std::string name() const override;
  void change_image(TrainingImage& image, const Moment& moment) const override;
  void change_batch(Batch& batch, int64_t classes, const Moment& moment) const override;

 private:
  const Transform& chosen(const std::string& purpose, const Moment& moment) const;

  std::vector<std::shared_ptr<const Transform>> transforms_;
};

}  // namespace espalier::data
