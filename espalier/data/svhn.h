// SPDX-License-Identifier: Apache-2.0
/// Reader of SVHN, cropped digits: MATLAB v5 files.
///
/// Source: Netzer, Wang, Coates, Bissacco, Wu, Ng, "Reading digits in natural images with
/// unsupervised feature learning", 2011.
#pragma once

#include <filesystem>
#include <memory>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// Train: train_32x32.mat, followed by extra_32x32.mat when `with_extra`; test: test_32x32.mat. A
/// file holds X, uint8 32x32x3xN in MATLAB's order, and y, N numbers 1..10 where 10 stands for the
/// digit 0. Throws IoError naming the file: missing, unreadable, empty, truncated, not MATLAB v5, X
/// or y absent or of another shape, or a label out of range.
std::shared_ptr<const Dataset> open_svhn(const std::filesystem::path& folder,
                                         Split split,
                                         bool with_extra = false);

}  // namespace espalier::data
