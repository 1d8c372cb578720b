// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/residual.h>

namespace espalier::nn {

Residual::Residual(Parts parts) : parts_(std::move(parts)) {
  ESPALIER_CHECK(parts_.main != nullptr, ValueError, "Residual: expects a main part, got null");
}

Variable Residual::forward(const Variable& x) {
  const auto branch = [this](const Variable& in) { return (*parts_.main)(in); };
  const auto shortcut = [&] { return parts_.shortcut ? (*parts_.shortcut)(x) : x; };
  const Variable y = form ? form->add_branch(x, shortcut(), branch) : branch(x) + shortcut();
  return parts_.activation ? (*parts_.activation)(y) : y;
}

void Residual::visit(MemberVisitor& visitor) {
  visitor.part("main", parts_.main);
  visitor.part("shortcut", parts_.shortcut);
  visitor.part("activation", parts_.activation);
  if (form) visitor.part(form->member(), form);
}

std::string Residual::describe() const {
  return parts_.shortcut ? "Residual(with shortcut)" : "Residual";
}

}  // namespace espalier::nn
