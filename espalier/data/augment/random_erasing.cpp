// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/random_erasing.h>

#include <cmath>

#include <espalier/core/error.h>

namespace espalier::data {

RandomErasing::RandomErasing(const RandomErasingOptions& options) : options_(options) {
  ESPALIER_CHECK(options.probability >= 0.0 && options.probability <= 1.0,
                 ValueError,
                 "erasing: expects a probability in 0..1, got ",
                 options.probability);
  ESPALIER_CHECK(options.least_area >= 0.0 && options.least_area <= options.most_area &&
                     options.most_area <= 1.0 && options.least_ratio > 0.0 &&
                     options.least_ratio <= options.most_ratio,
                 ValueError,
                 "erasing: expects areas in 0..1 and ratios above 0, the least first, got ",
                 options.least_area,
                 "..",
                 options.most_area,
                 " and ",
                 options.least_ratio,
                 "..",
                 options.most_ratio);
}

void RandomErasing::change_image(TrainingImage& image, const Moment& moment) const {
  constexpr int kTries = 10;
  Rng rng = moment.stream("augment/erasing");
  if (rng.uniform64() >= options_.probability) return;
  const ImageShape& shape = image.shape;
  const auto area = static_cast<double>(shape.height * shape.width);
  for (int i = 0; i < kTries; ++i) {
    const double share = area * rng.uniform(options_.least_area, options_.most_area);
    const double ratio =
        std::exp(rng.uniform(std::log(options_.least_ratio), std::log(options_.most_ratio)));
    const auto height = static_cast<int64_t>(std::nearbyint(std::sqrt(share * ratio)));
    const auto width = static_cast<int64_t>(std::nearbyint(std::sqrt(share / ratio)));
    if (height >= shape.height || width >= shape.width) continue;
    const auto top =
        static_cast<int64_t>(rng.below(static_cast<uint64_t>(shape.height - height + 1)));
    const auto left =
        static_cast<int64_t>(rng.below(static_cast<uint64_t>(shape.width - width + 1)));
    image.erased.push_back({top, left, top + height, left + width});
    return;
  }
}

}  // namespace espalier::data
