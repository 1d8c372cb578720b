// SPDX-License-Identifier: Apache-2.0
/// What a mask update does and tells about the outputs of the network.
#include <numeric>

#include <espalier/prune/sites/outputs.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {

/// Finds the sites that keep more than they would without the units that outputs need. Only where
/// nothing else is kept can that be.
void MaskUpdate::tell_raised(const std::vector<std::vector<double>>& scores,
                             const Allocation& allocation,
                             Sparsity target,
                             const std::vector<int64_t>& kept,
                             const std::vector<std::vector<uint8_t>>& of_outputs) {
  bool may_be = false;
  for (size_t s = 0; s < sites_.size(); ++s) {
    may_be = may_be ||
             (!of_outputs[s].empty() &&
              kept[s] == std::accumulate(of_outputs[s].begin(), of_outputs[s].end(), int64_t{0}));
  }
  if (!may_be) return;
  const std::vector<std::vector<uint8_t>> nothing(sites_.size());
  const auto without = budgets(scores, allocation, target, nothing);
  for (size_t s = 0; s < sites_.size(); ++s) {
    saves_outputs_[s] |= !of_outputs[s].empty() && without[s] < kept[s] ? 1 : 0;
  }
}

UpdateReport MaskUpdate::report() const {
  UpdateReport report = report_;
  for (size_t s = 0; s < sites_.size(); ++s) {
    if (saves_outputs_[s] == 0) continue;
    report.notes.push_back(
        cat(sites_[s].name, " keeps a unit of each row: they are the network's outputs"));
  }
  return report;
}

void MaskUpdate::tell_outputs_of(const MaskUpdate& earlier) {
  for (size_t s = 0; s < sites_.size(); ++s) saves_outputs_[s] |= earlier.saves_outputs_[s];
}

/// After units of a site were drawn from `candidates` at random.
void MaskUpdate::save_outputs(size_t site,
                              const std::vector<uint8_t>& candidates,
                              const Rng& rng,
                              std::vector<uint8_t>& chosen) {
  std::vector<uint8_t> saved =
      with_outputs(sites_[site], chosen, candidates, rng.fork(stream_id("outputs")));
  if (saved == chosen) return;
  saves_outputs_[site] = 1;
  chosen = std::move(saved);
}

}  // namespace espalier::prune
