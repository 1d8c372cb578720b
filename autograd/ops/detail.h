// SPDX-License-Identifier: Apache-2.0
/// Small helpers that op files share. Not a public interface.
#pragma once

#include <string_view>

#include <espalier/autograd/variable.h>

namespace espalier::detail {

/// Shape and layout of an operand: what a backward function keeps when it needs no values.
struct Meta {
  Shape shape;
  Layout layout;
};
inline Meta meta(const Variable& a) { return {a.shape(), a.layout()}; }

inline void check_same_dtype(const Variable& a, const Variable& b, std::string_view op) {
  ESPALIER_CHECK(a.dtype() == b.dtype(),
                 TypeError,
                 op,
                 ": expects operands of one element type, got ",
                 a.value(),
                 " and ",
                 b.value());
}

}  // namespace espalier::detail
