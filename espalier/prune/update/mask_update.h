// SPDX-License-Identifier: Apache-2.0
/// MaskUpdate: one pass of score -> units -> allocation -> selection -> masks, as plain steps that
/// the action (update.h) runs and tests can look into. Nothing of the model changes before
/// `commit()`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/ground/report.h>
#include <espalier/prune/ground/settings.h>
#include <espalier/prune/growth/growth.h>
#include <espalier/prune/schedules/schedule.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/update/numbers.h>

namespace espalier::prune {

class FlowGraph;

/// Which sites of a model an update may cut.
struct SiteRules {
  /// Of structured patterns: only channel groups made by one layer (no residual sums).
  bool single_producer_only = false;
  /// Why a site can't be pruned, or nothing; told as a note. Empty: all can.
  std::function<std::string(nn::Module& model, const Site& site)> refusal = {};
};

/// What grows in a mask update, and how much.
struct MaskGrowth {
  Growth* growth = nullptr;  ///< which removed units come back; null: none
  /// How many units each site has then; null: as many as before. The moment says how many of those
  /// that were chosen are dropped first.
  const Allocation* allocation = nullptr;
};

/// One mask update of one model.
class MaskUpdate {
 public:
  /// Finds the sites, of all prunable weights or of `only` some; never such that a unit would be an
  /// output of the network, and with the units of which each output keeps one. Throws ValueError as
  /// `prunable_weights`, the site functions and `keep_outputs` do.
  MaskUpdate(nn::Module& model,
             const LayerPatterns& pattern,
             const PruneSettings& settings,
             const PruneInputs& inputs,
             const SiteRules& rules,
             std::optional<std::vector<nn::NamedParameter>> only = {});

  /// Single weights compete inside of their output row only.
  void compete_in_rows();

  /// Where units compete.
  const std::vector<Site>& sites() const { return sites_; }
  /// The network's paths; null if nobody tells what a sample looks like.
  const FlowGraph* flow();
  /// What is scored.
  const std::vector<nn::NamedParameter>& weights() const { return weights_; }

  /// The score of every unit of every site, higher = stays (the paper's sign is turned here).
  std::vector<std::vector<double>> scores(Score& score, Rng& rng, const ScoredUpdate& update = {});
  /// How many units each site, by name, keeps of a target as the allocation divides it by these
  /// scores. Of sites with cells nothing: they have numbers of their own.
  std::map<std::string, int64_t> divide(const std::vector<std::vector<double>>& scores,
                                        const Allocation& allocation,
                                        Sparsity target);
  /// Chooses the units that stay: exact counts, ties by index, nothing that is gone comes back but
  /// by `growth`. Every output of the network that the sites make keeps its best unit.
  void choose(const std::vector<std::vector<double>>& scores,
              const Allocation& allocation,
              const Moment& moment,
              const MaskGrowth& growth,
              Rng& rng);
  /// Keeps these units, by site, instead of those that were chosen.
  void keep_units(std::vector<std::vector<uint8_t>> kept);
  /// The mask that a parameter of the model will have; undefined: it is dense.
  Tensor mask_of(const nn::Parameter& parameter) const;
  /// Adds a note to the report.
  void tell(std::string note) { report_.notes.push_back(std::move(note)); }
  /// Reports a share of another budget than weights.
  void tell_budget(const std::string& budget, Sparsity asked, Sparsity reached);
  /// Takes over what another update chose on a copy of the model, shuffled if that is asked for.
  void adopt(const MaskUpdate& chosen, Rng& rng);
  /// Tells of outputs that kept a unit by rule in `earlier`, a round before on a copy.
  void tell_outputs_of(const MaskUpdate& earlier);
  /// 1 for the units of every site that stay, after `choose`.
  const std::vector<std::vector<uint8_t>>& kept() const { return keep_; }
  /// Throws ValueError when the chosen masks cut the network, as `check_collapse` does.
  void check();
  /// Sets the masks, after `check()`. Parameters whose mask does not change are not touched.
  void commit();
  /// The same without a check: of masks on the way to others, which remove more and are checked.
  void set_masks();
  /// What changed, after `choose`.
  UpdateReport report() const;

 private:
  Sparsity target_of(const Moment& moment) const;
  void tell_reached(SparsityOf of);
  std::pair<int64_t, int64_t> count_weights() const;
  std::vector<std::vector<int64_t>> weights_of_units() const;
  std::vector<SiteScores> site_scores(const std::vector<std::vector<double>>& scores,
                                      const std::vector<std::vector<uint8_t>>& there,
                                      const std::vector<std::vector<int64_t>>& weights) const;
  std::vector<int64_t> budgets(const std::vector<std::vector<double>>& scores,
                               const Allocation& allocation,
                               Sparsity target,
                               const std::vector<std::vector<uint8_t>>& of_outputs);
  void tell_raised(const std::vector<std::vector<double>>& scores,
                   const Allocation& allocation,
                   Sparsity target,
                   const std::vector<int64_t>& kept,
                   const std::vector<std::vector<uint8_t>>& of_outputs);
  void shuffle(Rng& rng);
  void save_outputs(size_t site,
                    const std::vector<uint8_t>& candidates,
                    const Rng& rng,
                    std::vector<uint8_t>& chosen);
  void move(const std::vector<std::vector<double>>& scores,
            double moved,
            Sparsity target,
            const MaskGrowth& growth,
            Rng& rng);
  std::vector<uint8_t> drop(
      size_t site, const std::vector<double>& scores, double moved, const Growth& growth, Rng& own);
  std::vector<int64_t> regrown(const std::vector<std::vector<double>>& scores,
                               const std::vector<std::vector<uint8_t>>& stays,
                               const std::vector<std::vector<double>>& merits,
                               const MaskGrowth& growth,
                               Sparsity target) const;
  std::vector<std::vector<double>> growth_merits(Growth& growth, Rng& rng);
  void grow(size_t site,
            std::vector<uint8_t> stays,
            int64_t grown,
            const std::vector<double>& merits,
            const Growth& growth,
            Rng& own);
  void make_masks();

  nn::Module* model_;
  const PruneSettings* settings_;
  const PruneInputs* inputs_;
  std::vector<nn::NamedParameter> weights_;
  bool coupled_;  // sites are channel groups
  std::vector<Site> sites_;
  std::shared_ptr<const FlowGraph> flow_;    // when it was needed
  std::vector<std::vector<uint8_t>> alive_;  // per site and unit, before the update
  std::vector<std::vector<uint8_t>> keep_;   // after it
  std::vector<uint8_t> saves_outputs_;       // per site: outputs would have lost all their units
  std::vector<nn::Parameter*> changed_;      // in order of discovery
  std::map<nn::Parameter*, Tensor> masks_;
  UpdateReport report_;
};

/// The reports of the weights that are not among `chosen`: as they are.
std::vector<LayerReport> unchanged_layers(const std::vector<nn::NamedParameter>& all,
                                          const std::vector<nn::NamedParameter>& chosen);

}  // namespace espalier::prune
