// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/pending.h>

#include <utility>

#include <espalier/autograd/saved.h>
#include <espalier/autograd/variable_state.h>
#include <espalier/core/kernels/batch_norm.h>

namespace espalier {

MappedTensor PendingValue::mapped() const {
  if (!x_.tensor().defined()) return {packed_->tensor(), &map_};
  if (x_.changed()) detail::throw_changed(x_.tensor());
  return {x_.tensor(), &map_};
}

Tensor PendingValue::make() const {
  return through_map(mapped());
}

MappedTensor mapped(const Variable& variable) {
  const VariableState& state = *variable.state();
  if (state.pending && !state.value.defined()) return state.pending->mapped();
  return variable.value();
}

Variable gated_gradient(Tensor gradient, GatedGradient gated) {
  Variable out(std::move(gradient));
  out.state()->gated = std::make_unique<const GatedGradient>(std::move(gated));
  return out;
}

const GatedGradient* gated(const Variable& gradient,
                           const std::shared_ptr<const PendingValue>& of) {
  const GatedGradient* known = gradient.state()->gated.get();
  return known != nullptr && of != nullptr && known->of == of ? known : nullptr;
}

std::shared_ptr<const PendingValue> pending_of(const Variable& variable) {
  return variable.defined() ? variable.state()->pending : nullptr;
}

Variable unmade(const Variable& variable) {
  const VariableState& state = *variable.state();
  if (!state.pending || state.made.changed()) return {};
  const auto again = std::make_shared<VariableState>();
  again->pending = state.pending;
  again->producer = state.producer;
  return Variable(again);
}

}  // namespace espalier
