// SPDX-License-Identifier: Apache-2.0
/// Texts in checkpoints, whose entries are tensors. Not a public interface.
#pragma once

#include <string>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::nn::detail {

/// The bytes of a text, uint8 (length).
inline Tensor text_tensor(const std::string& text) {
  return Tensor::from<uint8_t>({static_cast<int64_t>(text.size())},
                               std::vector<uint8_t>(text.begin(), text.end()));
}
/// The text of such a tensor.
inline std::string text_of(const Tensor& tensor) {
  const std::vector<uint8_t> bytes = tensor.to_vector<uint8_t>();
  return {bytes.begin(), bytes.end()};
}

}  // namespace espalier::nn::detail
