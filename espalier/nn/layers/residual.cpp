// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/residual.h>

namespace espalier::nn {

Residual::Residual(Parts parts) : parts_(std::move(parts)) {
  ESPALIER_CHECK(parts_.main != nullptr, ValueError, "Residual: expects a main part, got null");
}

Variable Residual::forward(const Variable& x) {
  const Variable y = (*parts_.main)(x) + (parts_.shortcut ? (*parts_.shortcut)(x) : x);
  return parts_.activation ? (*parts_.activation)(y) : y;
}

void Residual::visit(MemberVisitor& visitor) {
  visitor.part("main", parts_.main);
  visitor.part("shortcut", parts_.shortcut);
  visitor.part("activation", parts_.activation);
}

std::string Residual::describe() const {
  return parts_.shortcut ? "Residual(with shortcut)" : "Residual";
}

}  // namespace espalier::nn
