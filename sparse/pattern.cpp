// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/pattern.h>

namespace espalier::sparse {

Pattern::Pattern(const Tensor& mask) : mask_(mask.to(Layout::Nchw).clone()) {
  const uint8_t* m = mask_.data<uint8_t>();
  for (int64_t i = 0; i < mask_.numel(); ++i) {
    ESPALIER_CHECK(m[i] <= 1,
                   ValueError,
                   "pattern: a mask holds 0 and 1, got ",
                   static_cast<int>(m[i]),
                   " at flat position ",
                   i);
    nnz_ += m[i];
  }
}

}  // namespace espalier::sparse
