// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/gate.h>

#include <utility>

#include <espalier/autograd/observer.h>

namespace espalier::nn {
namespace {

constexpr const char* kDecision = "decision";

}  // namespace

Gate::Gate(std::shared_ptr<Decision> decision) : decision_(std::move(decision)) {
  ESPALIER_CHECK(decision_, ValueError, "gates: a gate needs a decision, got null");
}

Decided Gate::take_decided() {
  return std::exchange(newest_, {});
}

Variable Gate::decide(const Variable& x) {
  Decided decided = decision_->decide(x);
  newest_ = decided.price.defined() ? decided : Decided{};
  return decided.open;
}

void Gate::show(const Variable& y) {
  if (newest_.price.defined()) newest_.seen = decision_->look(y);
}

std::map<std::string, std::string> Gate::decision_word() const {
  return {{kDecision, decision_->kind()}};
}

std::shared_ptr<Decision> described_decision(const PartDescription& description,
                                             const std::string& otherwise,
                                             const DecisionPlace& place) {
  PartDescription own = description;
  own.kind = description.word(kDecision, otherwise);
  return decision_kind(own.kind).make(place, own);
}

bool may_skip(const Variable& x) {
  // Whoever records or traces needs ops that can be differentiated and seen.
  return !is_recording() && !is_observed() && x.dtype() == DType::F32;
}

}  // namespace espalier::nn
