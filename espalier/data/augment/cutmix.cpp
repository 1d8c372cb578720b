// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/cutmix.h>

#include <algorithm>
#include <cmath>

#include <espalier/data/detail/mixing.h>

namespace espalier::data {

CutMix::CutMix(double alpha) : alpha_(alpha) {
  detail::check_alpha("cutmix", alpha);
}

Box CutMix::box_of(const ImageShape& shape, double share, int64_t y, int64_t x) {
  const double half = 0.5 * std::sqrt(1.0 - share);
  const auto down = static_cast<int64_t>(half * static_cast<double>(shape.height));
  const auto right = static_cast<int64_t>(half * static_cast<double>(shape.width));
  return {std::max<int64_t>(y - down, 0),
          std::max<int64_t>(x - right, 0),
          std::min(y + down, shape.height),
          std::min(x + right, shape.width)};
}

void CutMix::change_batch(Batch& batch, int64_t classes, const Moment& moment) const {
  Rng rng = moment.stream("augment/cutmix");
  const ImageShape shape{batch.images.size(1), batch.images.size(2), batch.images.size(3)};
  const double drawn = detail::draw_beta(rng, alpha_);
  const auto y = static_cast<int64_t>(rng.below(static_cast<uint64_t>(shape.height)));
  const auto x = static_cast<int64_t>(rng.below(static_cast<uint64_t>(shape.width)));
  const Box box = box_of(shape, drawn, y, x);
  if (box.empty()) {
    detail::mix_labels(batch, classes, 1.0);
    return;
  }
  detail::with_partners(batch.images, [&](std::span<float> own, std::span<const float> other) {
    for (int64_t c = 0; c < shape.channels; ++c) {
      for (int64_t row = box.top; row < box.bottom; ++row) {
        const int64_t first = (c * shape.height + row) * shape.width;
        std::copy(other.begin() + first + box.left,
                  other.begin() + first + box.right,
                  own.begin() + first + box.left);
      }
    }
  });
  const int64_t taken = (box.bottom - box.top) * (box.right - box.left);
  const auto all = static_cast<double>(shape.height * shape.width);
  detail::mix_labels(batch, classes, 1.0 - static_cast<double>(taken) / all);
}

}  // namespace espalier::data
