// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/kept_gradient.h>

#include <espalier/autograd/variable_state.h>

namespace espalier {

Variable kept_gradient(Tensor values, std::shared_ptr<const sparse::Support> support) {
  ESPALIER_CHECK(values.shape() == Shape({support->nnz()}),
                 ShapeError,
                 "kept_gradient: expects ",
                 support->nnz(),
                 " values, got ",
                 values.shape());
  auto state = std::make_shared<VariableState>();
  state->kept = {std::move(values), std::move(support)};
  return Variable(std::move(state));
}

const Tensor* kept_values_of(const Variable& variable, const sparse::Support* support) {
  if (!variable.defined() || support == nullptr) return nullptr;
  const VariableState& state = *variable.state();
  return state.kept.support.get() == support ? &state.kept.values : nullptr;
}

}  // namespace espalier
