// SPDX-License-Identifier: Apache-2.0
/// The images of a data set at another size.
#pragma once

#include <memory>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// Sides of square images that can be asked for.
inline constexpr int64_t kMostImageSide = 4096;

/// `dataset` with every image cut to a square around its centre and scaled to side x side: each
/// pixel is the mean of the area that it covers, enlarged the nearest one's. Made anew at every
/// read. Labels, order and all else stay. Throws ValueError for a text, and for a side outside of
/// 1 .. kMostImageSide.
std::shared_ptr<const Dataset> resized(std::shared_ptr<const Dataset> dataset, int64_t side);

}  // namespace espalier::data
