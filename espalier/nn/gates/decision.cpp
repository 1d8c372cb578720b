// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/decision.h>

#include <algorithm>
#include <utility>

namespace espalier::nn {

#define ESPALIER_DECISION(decision) DecisionKind decision##_decision();
#include <espalier/nn/gates/decisions.inc>
#undef ESPALIER_DECISION

namespace {

std::vector<DecisionKind>& kinds() {
  static std::vector<DecisionKind> list = {
#define ESPALIER_DECISION(decision) decision##_decision(),
#include <espalier/nn/gates/decisions.inc>
#undef ESPALIER_DECISION
  };
  return list;
}

}  // namespace

const DecisionKind& decision_kind(const std::string& name) {
  const std::vector<DecisionKind>& all = kinds();
  const auto found = std::ranges::find(all, name, &DecisionKind::name);
  if (found == all.end()) {
    std::string known;
    for (const DecisionKind& kind : all) known += (known.empty() ? "" : ", ") + kind.name;
    throw ValueError(cat("gates: unknown decision '", name, "'; known are ", known));
  }
  return *found;
}

void register_decision_kind(DecisionKind kind) {
  ESPALIER_CHECK(std::ranges::find(kinds(), kind.name, &DecisionKind::name) == kinds().end(),
                 ValueError,
                 "gates: there is a decision '",
                 kind.name,
                 "' already");
  kinds().push_back(std::move(kind));
}

}  // namespace espalier::nn
