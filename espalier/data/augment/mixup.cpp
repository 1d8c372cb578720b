// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/mixup.h>

#include <espalier/data/detail/mixing.h>

namespace espalier::data {

Mixup::Mixup(double alpha) : alpha_(alpha) {
  detail::check_alpha("mixup", alpha);
}

void Mixup::change_batch(Batch& batch, int64_t classes, const Moment& moment) const {
  Rng rng = moment.stream("augment/mixup");
  const double share = detail::draw_beta(rng, alpha_);
  detail::with_partners(batch.images, [&](std::span<float> own, std::span<const float> other) {
    for (size_t i = 0; i < own.size(); ++i) {
      own[i] = static_cast<float>(share * own[i] + (1.0 - share) * other[i]);
    }
  });
  detail::mix_labels(batch, classes, share);
}

}  // namespace espalier::data
