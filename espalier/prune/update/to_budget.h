// SPDX-License-Identifier: Apache-2.0
/// From a share of a budget to the units that stay: the sparsity is searched at which the network
/// under its masks costs what was asked, and then single units are given back while they fit. Not a
/// public interface.
#pragma once

#include <functional>
#include <memory>

#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/timeline/timeline.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {

/// Whether the target is another than a sparsity.
bool has_budget(const Subject& subject);

/// The search of one mask update.
class BudgetSearch {
 public:
  /// For the target of the subject's settings.
  explicit BudgetSearch(const Subject& subject);

  /// An update that chose at a sparsity.
  using Choose = std::function<MaskUpdate(Sparsity)>;
  /// The update whose masks leave the share 1 - `removed` of the dense network's cost: exact to one
  /// unit where the budget is, and by the nearest measurement else. `most` is the highest sparsity
  /// at which `choose` can. `scores` of every unit order what is given back; empty: nothing is.
  /// Throws ValueError when not even the last sparsity is cheap enough.
  MaskUpdate run(const Choose& choose,
                 Sparsity removed,
                 Sparsity most,
                 const std::vector<std::vector<double>>& scores);
  /// The sparsity that `run` came to.
  Sparsity sparsity() const { return sparsity_; }
  /// What the network costs under an update's masks.
  double cost_of(const MaskUpdate& update);
  /// What it costs with nothing masked.
  double dense_cost() const { return dense_cost_; }

 private:
  void find_prices();
  /// Units of `more` that `less` removes, given back in order of score while they fit.
  void give_back(MaskUpdate& less,
                 const MaskUpdate& more,
                 const std::vector<std::vector<double>>& scores,
                 double asked);

  const Subject& subject_;
  Target target_;
  std::unique_ptr<nn::Module> dense_;  // nothing masked, nothing zero
  std::unique_ptr<Budget> budget_;
  double dense_cost_ = 0.0;
  std::vector<double> prices_;  // of an entry of each parameter, where costs add up
  Sparsity sparsity_ = Sparsity(0.0);
};

/// An update that meets a budget, and the sparsity that it came to.
struct ToBudget {
  MaskUpdate update;  ///< which has chosen, and set no mask yet
  Sparsity sparsity;  ///< of the allocation
};
/// `start`, which has chosen nothing yet, choosing so that the target of the subject's settings is
/// met: at the sparsity that costs what is asked. With `give_back`, units then come back one by one
/// while they fit, which is right where the units of higher sparsities are among those of lower
/// ones. Throws as BudgetSearch::run.
ToBudget choose_to_budget(const Subject& subject,
                          const MaskUpdate& start,
                          const std::vector<std::vector<double>>& scores,
                          const Allocation& allocation,
                          const Moment& moment,
                          const MaskGrowth& growth,
                          const Rng& rng,
                          bool give_back);

}  // namespace espalier::prune
