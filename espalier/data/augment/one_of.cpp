// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/one_of.h>

#include <algorithm>
#include <utility>

#include <espalier/core/error.h>

namespace espalier::data {

OneOf::OneOf(std::vector<std::shared_ptr<const Transform>> transforms)
    : transforms_(std::move(transforms)) {
  ESPALIER_CHECK(
      !transforms_.empty() &&
          std::find(transforms_.begin(), transforms_.end(), nullptr) == transforms_.end(),
      ValueError,
      "one of: expects at least one transform and none that is null");
}

std::string OneOf::name() const {
  std::string out;
  for (const auto& transform : transforms_) out += (out.empty() ? "" : "|") + transform->name();
  return out;
}

void OneOf::change_image(TrainingImage& image, const Moment& moment) const {
  chosen("image", moment).change_image(image, moment);
}

void OneOf::change_batch(Batch& batch, int64_t classes, const Moment& moment) const {
  chosen("batch", moment).change_batch(batch, classes, moment);
}

const Transform& OneOf::chosen(const std::string& purpose, const Moment& moment) const {
  Rng rng = moment.stream(cat("augment/", name(), "/", purpose));
  return *transforms_[static_cast<size_t>(rng.below(transforms_.size()))];
}

}  // namespace espalier::data
