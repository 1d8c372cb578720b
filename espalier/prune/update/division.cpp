// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/update/division.h>

#include <algorithm>

#include <espalier/prune/update/to_budget.h>

namespace espalier::prune {

std::vector<std::vector<double>> equal_scores(const MaskUpdate& update) {
  std::vector<std::vector<double>> equal;
  for (const Site& site : update.sites()) equal.emplace_back(static_cast<size_t>(site.units), 0.0);
  return equal;
}

namespace {

/// Where no score is known yet, units that cost what those of any choice would: the first of every
/// layer would leave whole rows empty.
std::vector<std::vector<double>> drawn_scores(const MaskUpdate& update, const Subject& subject) {
  Rng rng(subject.inputs.seed, "units of a budget");
  std::vector<std::vector<double>> scores = equal_scores(update);
  for (std::vector<double>& site : scores) {
    for (double& score : site) score = rng.uniform64();
  }
  return scores;
}

std::map<std::string, int64_t> numbers_of(const MaskUpdate& update) {
  std::map<std::string, int64_t> numbers;
  for (size_t s = 0; s < update.sites().size(); ++s) {
    if (update.sites()[s].cell.size > 0) continue;  // they have numbers of their own
    numbers[update.sites()[s].name] = std::ranges::count(update.kept()[s], uint8_t{1});
  }
  return numbers;
}

}  // namespace

Division::Division(const UpdateParts& parts,
                   const Subject& subject,
                   MaskUpdate whole,
                   const Moment& moment,
                   Rng rng)
    : moment_(moment),
      allocation_(named_allocation(parts.allocation, subject.settings.layer_sparsity)) {
  const bool by_scores = parts.allocation->looks_at_scores();
  const std::shared_ptr<Score> score = parts.division ? parts.division : parts.score;
  ESPALIER_CHECK(!by_scores || score,
                 ValueError,
                 "mask_update: the allocation ",
                 parts.allocation->name(),
                 " looks at scores, and there are none");
  const auto scores = by_scores ? whole.scores(*score, rng) : equal_scores(whole);
  if (has_budget(subject)) {
    meet_budget(parts, subject, whole, by_scores ? scores : drawn_scores(whole, subject));
    if (!parts.compete_in_rows) return;
  }
  // Sizes give the same numbers whenever they are asked, except to a part of the layers.
  if (!by_scores && !parts.stages) return;
  allocation_ =
      settled_allocation(whole.divide(scores, *allocation_, moment_.sparsity), *allocation_);
}

void Division::meet_budget(const UpdateParts& parts,
                           const Subject& subject,
                           const MaskUpdate& whole,
                           const std::vector<std::vector<double>>& scores) {
  MaskUpdate start = whole;
  if (parts.compete_in_rows) start.compete_in_rows();
  const Rng unused(0);
  const bool in_rows = parts.compete_in_rows;
  const ToBudget met =
      choose_to_budget(subject, start, scores, *allocation_, moment_, {}, unused, !in_rows);
  moment_.sparsity = met.sparsity;
  // Rows lose as many weights as each other: to one of each the budget is met.
  if (!in_rows) allocation_ = settled_allocation(numbers_of(met.update), *allocation_);
}

std::vector<std::pair<std::string, int64_t>> kept_of_each(
    const Subject& subject, const std::shared_ptr<const Allocation>& allocation) {
  MaskUpdate update(subject.model, subject.pattern, subject.settings, subject.inputs, {});
  Rng unused(0);
  const auto named = named_allocation(allocation, subject.settings.layer_sparsity);
  const Moment end = {.sparsity = subject.settings.final()};
  if (has_budget(subject)) {
    const auto scores = drawn_scores(update, subject);
    update = choose_to_budget(subject, update, scores, *named, end, {}, unused, true).update;
  } else {
    update.choose(equal_scores(update), *named, end, {}, unused);
  }
  std::vector<std::pair<std::string, int64_t>> out;
  for (size_t s = 0; s < update.sites().size(); ++s) {
    const std::vector<uint8_t>& kept = update.kept()[s];
    out.emplace_back(update.sites()[s].name, std::ranges::count(kept, uint8_t{1}));
  }
  return out;
}

}  // namespace espalier::prune
