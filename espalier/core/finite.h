// SPDX-License-Identifier: Apache-2.0
/// Values that are no numbers: found by tensor and index. Every reader of weights refuses them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <espalier/core/tensor.h>

namespace espalier {

/// A NaN or an infinity.
struct NotFinite {
  std::string name;    ///< of the tensor
  int64_t index = 0;   ///< flat, row-major
  double value = 0.0;  ///< what stands there
  /// "tensor 'fc.weight' holds nan at flat index 7".
  std::string str() const;
};

/// The first one in tensors by name; those that hold whole numbers have none.
std::optional<NotFinite> find_not_finite(const std::map<std::string, Tensor>& tensors);
/// Throws IoError naming `where`, the tensor and the index when there is one.
void check_finite(const std::map<std::string, Tensor>& tensors, const std::string& where);
/// The same before a file is written, which no reader would take: ValueError.
void check_can_be_read(const std::map<std::string, Tensor>& tensors, const std::string& where);

}  // namespace espalier
