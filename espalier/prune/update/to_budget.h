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
  /// Single weights come back up to the first that does not fit; of larger units every one that
  /// fits, so that in the end the cheapest would be too much. Throws ValueError when not even the
  /// last sparsity is cheap enough.
  MaskUpdate run(const Choose& choose,
                 Sparsity removed,
                 Sparsity most,
                 const std::vector<std::vector<double>>& scores);
  /// The sparsity that `run` came to.
  Sparsity sparsity() const { return sparsity_; }
  /// What the network costs under an update's masks.
  double cost_of(const MaskUpdate& update);
  /// The mask of a parameter of the model; undefined: none.
  using MaskOf = std::function<Tensor(const nn::Parameter&)>;
  /// What the network costs under these masks.
  double cost_under(const MaskOf& mask_of);
  /// What it may cost in the end.
  double asked() const { return (1.0 - target_.removed()) * dense_cost_; }
  /// What it costs with nothing masked.
  double dense_cost() const { return dense_cost_; }

 private:
  void find_prices();
  /// A unit of a site.
  struct OfSite {
    size_t site, unit;
  };
  static MaskUpdate with(const MaskUpdate& update, const OfSite& one, uint8_t kept);
  /// Units of `more` that `less` removes, given back in order of score while they fit.
  void give_back(MaskUpdate& less,
                 const MaskUpdate& more,
                 const std::vector<std::vector<double>>& scores);
  /// Sites of larger units than weights whose number the sparsity decides.
  static std::vector<size_t> open_sites(const MaskUpdate& whole, const MaskUpdate& least);
  /// Of these, units that `whole` has, given back in order of score as long as any fits. Units of a
  /// site cost about the same: where its best does not fit, none is tried any more.
  void give_back_singly(MaskUpdate& less,
                        const MaskUpdate& whole,
                        std::vector<size_t> open,
                        const std::vector<std::vector<double>>& scores);
  /// Whether a unit of several weights would fit, though it may be one that can't come back.
  bool leaves_room(const MaskUpdate& less);
  /// From `more`, which is too large, again in order of score, but for units that cost so much that
  /// less would be left than of `less`.
  void take_smaller_steps(MaskUpdate& less,
                          MaskUpdate more,
                          const MaskUpdate& least,
                          std::vector<size_t> open,
                          const std::vector<std::vector<double>>& scores);

  nn::Module& model_;
  Target target_;
  std::unique_ptr<nn::Module> dense_;  // nothing masked, nothing zero
  std::unique_ptr<Budget> budget_;
  double dense_cost_ = 0.0;
  double allowed_ = 0.0;        // by `run`
  std::vector<double> prices_;  // of an entry of each parameter, where costs add up
  Sparsity sparsity_ = Sparsity(0.0);
};

/// Tells in a report how much of what the subject's target counts the network as it is has lost,
/// forms and all, where `removed` was asked for; nothing where the target is a sparsity.
void tell_cost(const Subject& subject, Sparsity removed, UpdateReport& report);

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
