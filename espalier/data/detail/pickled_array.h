// SPDX-License-Identifier: Apache-2.0
/// NumPy's arrays in a pickle. Not a public interface.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/data/detail/pickle.h>

namespace espalier::data::detail {

/// What NumPy names where it pickles an array, in Python 2 and 3 and by any protocol.
std::span<const std::string_view> numpy_globals();

/// An array of bytes in two dimensions.
struct PickledBytes {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<uint8_t> values = {};  ///< row by row
};
/// Reads an array of uint8 with two dimensions. Throws IoError for anything else, and for a shape
/// that its bytes don't fill.
PickledBytes pickled_bytes(const Pickle& pickle, const PickleNode& node);

}  // namespace espalier::data::detail
