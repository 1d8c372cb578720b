// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/kept_gradient.h>

#include <espalier/autograd/variable_state.h>

namespace espalier {

Variable kept_gradient(Tensor values, std::shared_ptr<const sparse::Pattern> pattern) {
  ESPALIER_CHECK(values.shape() == Shape({pattern->nnz()}),
                 ShapeError,
                 "kept_gradient: expects ",
                 pattern->nnz(),
                 " values, got ",
                 values.shape());
  auto state = std::make_shared<VariableState>();
  state->kept = {std::move(values), std::move(pattern)};
  return Variable(std::move(state));
}

const Tensor* kept_values_of(const Variable& variable, const sparse::Pattern* pattern) {
  if (!variable.defined() || pattern == nullptr) return nullptr;
  const VariableState& state = *variable.state();
  return state.kept.pattern.get() == pattern ? &state.kept.values : nullptr;
}

}  // namespace espalier
