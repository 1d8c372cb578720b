// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

UpdateReport Action::update(const Subject&, std::span<const Moment>, UpdateNumber) {
  throw NotImplemented("prune: this action changes no masks");
}

Event at(std::unique_ptr<Schedule> moments, std::shared_ptr<Action> action) {
  return {.moments = std::move(moments), .action = std::move(action)};
}

Event during(double from, double until, std::shared_ptr<Action> action) {
  ESPALIER_CHECK(from >= 0.0 && from <= until && until <= 1.0,
                 ValueError,
                 "timeline: expects 0 <= from <= until <= 1, got ",
                 from,
                 " and ",
                 until);
  return {.from = from, .until = until, .action = std::move(action)};
}

std::string target_refusal(const Timeline& timeline, const Target& target) {
  if (target.kind == BudgetKind::Sparsity) return {};
  std::string why = "it says by itself what goes. Give a sparsity";
  for (const Event& event : timeline.events) {
    const std::optional<std::string> refusal = event.action->target_refusal(target);
    if (!refusal) continue;
    if (refusal->empty()) return {};
    why = *refusal;
  }
  return cat("has no target of ", name(target.kind), ": ", why);
}

MethodFacts facts_of(const Timeline& timeline) {
  constexpr TrainingLength kLength = {.steps = 100'000, .steps_per_epoch = 1000};
  MethodFacts facts{.data_free = true};
  size_t updates = 0;
  for (const Event& event : timeline.events) {
    const ActionFacts of_action = event.action->facts();
    facts.global = facts.global || of_action.global;
    facts.needs_norm = facts.needs_norm || of_action.needs_norm;
    facts.needs_blocks = facts.needs_blocks || of_action.needs_blocks;
    facts.revives = facts.revives || of_action.revives;
    facts.stays = facts.stays || of_action.stays;
    facts.data_free = facts.data_free && !of_action.needs_data;
    if (event.moments) updates += event.moments->moments(kLength, Sparsity(0.9)).size();
  }
  facts.one_shot = updates == 1;
  return facts;
}

}  // namespace espalier::prune
