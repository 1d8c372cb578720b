// SPDX-License-Identifier: Apache-2.0
/// Walks: an agent goes through a network place by place, says how much of each stays, and is kept
/// within a budget on its way; what the whole was worth teaches it. The best walk is the result.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <espalier/nn/train/fit.h>
#include <espalier/prune/search/agent.h>
#include <espalier/prune/search/oracle.h>
#include <espalier/prune/search/searched_site.h>

namespace espalier::prune {

/// What share of each place's units should stay.
struct RatioTask {
  std::vector<SearchedSite> places;  ///< in the order in which they are decided
  /// What a network with these shares costs, without running it. Grows with each of them.
  std::function<double(const Candidate& ratios)> cost = {};
  double budget = 0.0;  ///< the most it may cost
  /// What it is worth.
  std::function<nn::Evaluation(const Candidate& ratios)> evaluate = {};
  uint64_t seed = 0;  ///< of everything random
  /// Of the units of each place, by which those that stay are chosen; higher stays.
  std::span<const std::vector<double>> scores = {};
  std::vector<std::string>* notes =
      nullptr;             ///< for what a user must know; null: nobody reads them
  SearchState saved = {};  ///< what a killed search kept last; empty: none
  /// Called with all that a search must remember, after each candidate; empty: nobody keeps it.
  std::function<void(const SearchState&)> keep = {};
};

/// Finds the shares: a part of a mask update.
class RatioSearch {
 public:
  virtual ~RatioSearch() = default;
  /// Multiples of 1/units, within the budget where that can be.
  virtual Candidate search(const RatioTask& task) = 0;
};

/// Minus the error, the share of samples that are classified wrongly.
double error_reward(const nn::Evaluation& value, double cost);
/// Minus the error times the natural logarithm of the cost: it gains more by half of the error than
/// by half of the cost. Source: He, Lin et al., arXiv 1802.03494, equation 5.
double error_log_cost_reward(const nn::Evaluation& value, double cost);

/// What an agent sees in front of a place.
constexpr int64_t kWalkFeatures = 10;

/// Settings of walks.
struct WalkOptions {
  int64_t episodes = 400;  ///< walks
  /// No place keeps less, unless the budget asks for it.
  double least = 0.2;
  /// Makes the agent, for states of kWalkFeatures numbers.
  std::function<std::unique_ptr<Agent>(int64_t places, uint64_t seed)> agent = {};
  /// What a network was worth, from its evaluation and its cost.
  std::function<double(const nn::Evaluation& value, double cost)> reward = {};
};
/// The search by walks. In front of a place the agent sees the `layer_features` of it, the share of
/// the dense cost that the places before have saved, the share that the layers behind have, and
/// what the place before kept (1 at the first). It is then held back so that the budget can be met
/// with `least` at all places behind. Source: He, Lin et al., arXiv 1802.03494, sections 3.1
/// and 3.2.
std::shared_ptr<RatioSearch> walk_search(const WalkOptions& options);

/// The largest of 1/units, 2/units, .. up to `asked` (rounded to the nearest of them, not below
/// `least`) that place `place` of `candidate` may have within the budget; `least` if none.
double within_budget(
    const RatioTask& task, Candidate candidate, size_t place, double asked, double least);

}  // namespace espalier::prune
