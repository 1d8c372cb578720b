// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/update/division.h>

#include <espalier/prune/update/to_budget.h>

namespace espalier::prune {

std::vector<std::vector<double>> equal_scores(const MaskUpdate& update) {
  std::vector<std::vector<double>> equal;
  for (const Site& site : update.sites()) equal.emplace_back(static_cast<size_t>(site.units), 0.0);
  return equal;
}

double way_of(const Moment& moment, const PruneSettings& settings) {
  const double final = settings.final().value();
  return final == 0.0 ? 1.0 : moment.sparsity.value() / final;
}

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
  if (has_budget(subject)) meet_budget(parts, subject, whole, scores);
  // Sizes give the same numbers whenever they are asked, except to a part of the layers.
  if (!by_scores && !parts.stages) return;
  allocation_ =
      settled_allocation(whole.divide(scores, *allocation_, moment_.sparsity), *allocation_);
}

void Division::meet_budget(const UpdateParts& parts,
                           const Subject& subject,
                           const MaskUpdate& whole,
                           const std::vector<std::vector<double>>& scores) {
  BudgetSearch search(subject);
  search.run(
      [&](Sparsity sparsity) {
        MaskUpdate candidate = whole;
        if (parts.compete_in_rows) candidate.compete_in_rows();
        Rng unused(0);
        Moment at = moment_;
        at.sparsity = sparsity;
        at.way = way_of(moment_, subject.settings);
        candidate.choose(scores, *allocation_, at, {}, unused);
        return candidate;
      },
      moment_.sparsity,
      {});
  moment_.sparsity = search.sparsity();
}

}  // namespace espalier::prune
