// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <espalier/core/error.h>
#include <espalier/prune/patterns/block.h>

namespace espalier::prune {

std::array<int64_t, 4> weight_dims(const Shape& weight) {
  ESPALIER_CHECK(weight.rank() >= 2,
                 ShapeError,
                 "pattern: expects a weight of at least 2 dimensions, got ",
                 weight);
  std::array<int64_t, 4> dims{1, 1, 1, 1};
  for (int d = 0; d < weight.rank(); ++d) dims[static_cast<size_t>(d < 3 ? d : 3)] *= weight[d];
  return dims;
}

Units BlockPattern::units(const Shape& weight) const {
  const auto dims = weight_dims(weight);
  ESPALIER_CHECK(weight.numel() < std::numeric_limits<int32_t>::max(),
                 ShapeError,
                 "pattern: a weight has at most 2^31 - 2 entries, got ",
                 weight);
  Units units;
  if (box_ == Box{1, 1, 1, 1}) {
    units.count = weight.numel();
    return units;
  }
  std::array<int64_t, 4> box{};
  std::array<int64_t, 4> boxes{};
  for (size_t d = 0; d < 4; ++d) {
    box[d] = box_[d] == 0 ? std::max<int64_t>(dims[d], 1) : box_[d];
    boxes[d] = (dims[d] + box[d] - 1) / box[d];
  }
  units.count = boxes[0] * boxes[1] * boxes[2] * boxes[3];
  units.of_weight.reserve(static_cast<size_t>(weight.numel()));
  for (int64_t o = 0; o < dims[0]; ++o) {
    for (int64_t i = 0; i < dims[1]; ++i) {
      for (int64_t r = 0; r < dims[2]; ++r) {
        for (int64_t s = 0; s < dims[3]; ++s) {
          const int64_t unit =
              ((o / box[0] * boxes[1] + i / box[1]) * boxes[2] + r / box[2]) * boxes[3] +
              s / box[3];
          units.of_weight.push_back(static_cast<int32_t>(unit));
        }
      }
    }
  }
  return units;
}

}  // namespace espalier::prune
