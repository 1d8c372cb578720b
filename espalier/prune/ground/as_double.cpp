// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/ground/as_double.h>

namespace espalier::prune {

Tensor as_double(const Tensor& tensor) {
  Tensor copy = Tensor::empty(tensor.shape(), DType::F64);
  copy.copy_(tensor);
  return copy;
}

}  // namespace espalier::prune
