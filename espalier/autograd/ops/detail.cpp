// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops/detail.h>

#include <algorithm>

#include <espalier/autograd/ops.h>

namespace espalier::detail {

void check_same_dtype(const Tensor& a, const Tensor& b, std::string_view op) {
  ESPALIER_CHECK(a.dtype() == b.dtype(),
                 TypeError,
                 op,
                 ": expects operands of one element type, got ",
                 a,
                 " and ",
                 b);
}

std::vector<bool> reduced_dims(const Shape& shape,
                               const std::vector<int>& dims,
                               std::string_view op) {
  std::vector<bool> over(static_cast<size_t>(shape.rank()), dims.empty());
  for (int d : dims) {
    const auto wrapped = static_cast<size_t>(shape.wrap(d, op));
    ESPALIER_CHECK(!over[wrapped], ShapeError, op, ": dimension ", d, " is named twice");
    over[wrapped] = true;
  }
  return over;
}

std::vector<int64_t> dims_of(const std::vector<bool>& over) {
  std::vector<int64_t> dims;
  for (size_t d = 0; d < over.size(); ++d) {
    if (over[d]) dims.push_back(static_cast<int64_t>(d));
  }
  return dims;
}

int64_t count_over(const Shape& shape, const std::vector<bool>& over) {
  int64_t n = 1;
  for (int d = 0; d < shape.rank(); ++d) n *= over[static_cast<size_t>(d)] ? shape[d] : 1;
  return n;
}

Variable repeat_along(const Variable& a, const std::vector<bool>& over, const Meta& operand) {
  Shape kept = operand.shape;
  for (int d = 0; d < kept.rank(); ++d) {
    if (over[static_cast<size_t>(d)]) kept[d] = 1;
  }
  // A view in `Nchw16n` keeps its batch dimension; when that one was reduced the gradient is plain.
  return to_layout(expand(reshape(a, kept), operand.shape), operand.layout);
}

}  // namespace espalier::detail
