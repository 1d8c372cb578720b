// SPDX-License-Identifier: Apache-2.0
/// Tensors as texts, as PyTorch shows them.
#pragma once

#include <iosfwd>
#include <string>

#include <espalier/core/tensor.h>

namespace espalier {

/// How `to_text` shows numbers; the defaults are PyTorch's.
struct PrintOptions {
  int precision = 4;         ///< digits behind the point
  int64_t threshold = 1000;  ///< tensors of more elements are shown by their edges, with `...`
  int64_t edge = 3;          ///< elements at each edge of a dimension then
  int64_t line_width = 80;   ///< characters, before a row is broken
};

/// `tensor([[1.0000, 0.5000]])`: nested brackets, numbers of one width, scientific where they are
/// far apart (largest / smallest above 1000), very large or very small. The element type stands
/// behind them unless it is float32, and the layout unless it is plain; elements are in logical
/// order whatever the layout. What has no element tells its size, an undefined tensor that it is.
std::string to_text(const Tensor& tensor, const PrintOptions& options = {});

/// Writes `to_text(tensor)`, without a line end.
std::ostream& operator<<(std::ostream& stream, const Tensor& tensor);

}  // namespace espalier
