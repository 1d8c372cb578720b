// SPDX-License-Identifier: Apache-2.0
/// How much accuracy each layer costs when it alone is pruned, and how much of each may go for all
/// together to stay above a floor. Nothing is trained.
///
/// Source: the curves are those of Han et al., arXiv:1506.02626, section 3 (single weights), and Li
/// et al., arXiv:1608.08710, section 3.3 (filters). The budgets: ours.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <espalier/experiments/inputs/networks.h>

namespace espalier::experiments {

/// One layer alone.
struct LayerCurve {
  std::string name;              ///< of its weight
  int64_t weights = 0;           ///< entries
  std::vector<double> accuracy;  ///< at each sparsity, all else as it was
  double budget = 0.0;           ///< sparsity that it may have beside the others' budgets
};

/// All layers.
struct Sensitivity {
  double accuracy = 0.0;           ///< of the network as it is
  std::vector<double> sparsities;  ///< rising
  std::vector<LayerCurve> layers;  ///< in the order of the parameters
  double floor = 0.0;              ///< that the budgets must meet
  double budget_accuracy = 0.0;    ///< with all budgets at once
  double budget_sparsity = 0.0;    ///< of the prunable weights then
  int64_t evaluations = 0;         ///< that it took
};

/// What is asked.
struct SensitivityOptions {
  std::vector<double> sparsities = {};   ///< rising, within (0, 1)
  std::string pattern = "unstructured";  ///< of units within one weight; no N:M, no channels
  double floor = 0.0;                    ///< an accuracy
};

/// Prunes one layer after another by magnitude, as the method of that name scores units, evaluates,
/// and puts it back. Then layers go up to the next sparsity in the order of what that costs alone
/// (dear ones last; of equals large layers first), as many steps of this order at once as bisection
/// finds to meet the floor: the budgets. All zero where none does. The network is as before
/// afterwards. `progress` hears of evaluations that are done, and of how many at most. Throws
/// ValueError for sparsities that don't rise, and patterns that don't fit; Interrupted.
Sensitivity sensitivity_of(Network& network,
                           const SensitivityOptions& options,
                           const std::function<double()>& accuracy,
                           const std::function<void(int64_t done, int64_t most)>& progress);

}  // namespace espalier::experiments
