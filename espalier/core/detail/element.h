// SPDX-License-Identifier: Apache-2.0
/// Where an element of a tensor lies. Not a public interface.
#pragma once

#include <initializer_list>
#include <string_view>

#include <espalier/core/tensor.h>

namespace espalier::detail {

/// The place of the element with this logical index, in elements behind the tensor's first, in
/// either layout. Throws ShapeError naming `op` for an index outside, or one of another length.
int64_t element_offset(const Tensor& tensor,
                       std::initializer_list<int64_t> index,
                       std::string_view op);

}  // namespace espalier::detail
