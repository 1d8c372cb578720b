// SPDX-License-Identifier: Apache-2.0
/// Argument checks that every Dataset shares. Not a public interface.
#pragma once

#include <cstdint>
#include <span>

#include <espalier/core/error.h>
#include <espalier/data/dataset.h>

namespace espalier::data::detail {

/// Throws ValueError naming the data set when `index` is not one of its samples.
inline void check_index(const Dataset& dataset, int64_t index) {
  ESPALIER_CHECK(index >= 0 && index < dataset.size(),
                 ValueError,
                 "data set ",
                 dataset.name(),
                 ": sample ",
                 index,
                 " is out of range; it has ",
                 dataset.size());
}

/// As `check_index`, and `pixels` must be exactly one image.
inline void check_read(const Dataset& dataset, int64_t index, std::span<const uint8_t> pixels) {
  check_index(dataset, index);
  const int64_t expected = dataset.image_shape().numel();
  ESPALIER_CHECK(static_cast<int64_t>(pixels.size()) == expected,
                 ValueError,
                 "data set ",
                 dataset.name(),
                 ": read needs room for ",
                 expected,
                 " values, got ",
                 pixels.size());
}

}  // namespace espalier::data::detail
