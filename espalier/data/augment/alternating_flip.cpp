// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/alternating_flip.h>

#include <algorithm>

namespace espalier::data {

void AlternatingFlip::change_image(TrainingImage& image, const Moment& moment) const {
  const Moment first{.seed = moment.seed, .epoch = 0, .index = moment.index};
  const bool odd = moment.epoch % 2 == 1;
  if ((first.stream("augment/alternating-flip").below(2) == 1) == odd) return;
  const int64_t rows = image.shape.channels * image.shape.height;
  for (int64_t row = 0; row < rows; ++row) {
    const auto begin = image.pixels.begin() + row * image.shape.width;
    std::reverse(begin, begin + image.shape.width);
  }
}

}  // namespace espalier::data
