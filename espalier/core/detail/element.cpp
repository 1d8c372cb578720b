// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/element.h>

namespace espalier::detail {

int64_t element_offset(const Tensor& tensor,
                       std::initializer_list<int64_t> index,
                       std::string_view op) {
  const Shape& shape = tensor.shape();
  ESPALIER_CHECK(static_cast<int>(index.size()) == shape.rank(),
                 ShapeError,
                 op,
                 ": expects ",
                 shape.rank(),
                 " indices for shape ",
                 shape,
                 ", got ",
                 index.size());
  int64_t offset = 0;
  int d = 0;
  const bool lanes = tensor.layout() == Layout::Nchw16n;
  const Shape strides = lanes ? tensor.physical().strides() : tensor.strides();
  for (int64_t i : index) {
    ESPALIER_CHECK(i >= 0 && i < shape[d], ShapeError, op, ": index ", i, " outside of ", shape);
    offset += lanes && d == 0 ? i / kLanes * strides[0] + i % kLanes : i * strides[d];
    ++d;
  }
  return offset;
}

}  // namespace espalier::detail
