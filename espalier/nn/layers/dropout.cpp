// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/dropout.h>

namespace espalier::nn {

Dropout::Dropout(double p) : rng(default_init_rng("dropout")), p_(p) {
  ESPALIER_CHECK(p >= 0.0 && p < 1.0, ValueError, "Dropout: expects 0 <= p < 1, got ", p);
}

Variable Dropout::forward(const Variable& x) {
  return training() && p_ > 0.0 ? dropout(x, p_, rng) : x;
}

void Dropout::visit(MemberVisitor& visitor) {
  visitor.rng("rng", rng);
}

std::string Dropout::describe() const {
  return cat("Dropout(", p_, ")");
}

}  // namespace espalier::nn
