// SPDX-License-Identifier: Apache-2.0
/// Small helpers that op files share. Not a public interface.
#pragma once

#include <string_view>
#include <vector>

#include <espalier/autograd/saved.h>
#include <espalier/autograd/variable.h>

namespace espalier::detail {

/// Shape and layout of an operand: what a backward function keeps when it needs no values.
struct Meta {
  Shape shape;
  Layout layout;
};
inline Meta meta(const Variable& a) {
  return {a.shape(), a.layout()};
}

/// Throws TypeError naming `op` when a and b differ in element type.
void check_same_dtype(const Tensor& a, const Tensor& b, std::string_view op);
inline void check_same_dtype(const Variable& a, const Variable& b, std::string_view op) {
  if (a.dtype() != b.dtype()) check_same_dtype(a.value(), b.value(), op);
}

/// A flag per dimension of `shape` for the dimensions of a reduction; empty `dims` means all.
/// Throws ShapeError naming `op` for a dimension out of range or named twice.
std::vector<bool> reduced_dims(const Shape& shape,
                               const std::vector<int>& dims,
                               std::string_view op);

/// The dimensions that are flagged.
std::vector<int64_t> dims_of(const std::vector<bool>& over);

/// Number of elements that each result of a reduction is made from.
int64_t count_over(const Shape& shape, const std::vector<bool>& over);

/// The gradient of a sum: `a` (with or without the reduced dimensions) repeated to the operand's
/// shape.
Variable repeat_along(const Variable& a, const std::vector<bool>& over, const Meta& operand);

}  // namespace espalier::detail
