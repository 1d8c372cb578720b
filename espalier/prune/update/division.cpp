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
  MaskUpdate start = whole;
  if (parts.compete_in_rows) start.compete_in_rows();
  const Rng unused(0);
  moment_.sparsity =
      choose_to_budget(subject, start, scores, *allocation_, moment_, {}, unused, false).sparsity;
}

std::vector<std::pair<std::string, int64_t>> kept_of_each(
    const Subject& subject, const std::shared_ptr<const Allocation>& allocation) {
  MaskUpdate update(subject.model, subject.pattern, subject.settings, subject.inputs, {});
  Rng unused(0);
  update.choose(equal_scores(update),
                *named_allocation(allocation, subject.settings.layer_sparsity),
                {.sparsity = subject.settings.final()},
                {},
                unused);
  std::vector<std::pair<std::string, int64_t>> out;
  for (size_t s = 0; s < update.sites().size(); ++s) {
    const std::vector<uint8_t>& kept = update.kept()[s];
    out.emplace_back(update.sites()[s].name, std::ranges::count(kept, uint8_t{1}));
  }
  return out;
}

}  // namespace espalier::prune
