// SPDX-License-Identifier: Apache-2.0
/// Shares of channels that are learnt by gradients, within a budget, beside the weights.
#pragma once

#include <memory>

#include <espalier/prune/allocations/learnt_ratios.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// Settings.
struct LearnRatiosOptions {
  double rate = 0.1;              ///< of the shares' Adam
  double rho = 10.0;              ///< of the constraint
  double sharpness = 1.0;         ///< beta2 at first
  double final_sharpness = 50.0;  ///< beta2 at `until`, by the same factor in every step
  double until = 0.5;             ///< fraction of training
};
/// While its event lasts, alpha = sigmoid(theta) of every channel group, 0.9933 at first, is
/// learnt: in each step channels are open with the probabilities p of `soft_keep` of their |gamma|,
/// gates pass gradients straight on to p, and alpha pays what its channels are expected to cost
/// beyond the target, by the method of multipliers: max(0, lambda + rho (cost - target)) for each
/// unit of cost, lambda moving by a thousandth of rho (cost - target) in a step. Costs are shares
/// of the dense network's, macs or (of sparsity and params) weights. When it ends, `ratios` gets
/// alpha by site. Throws ValueError for a model in which no channel that may go has a scale.
/// Source: Ning et al., arXiv 2004.02164.
std::shared_ptr<Action> learn_ratios(const LearnRatiosOptions& options,
                                     std::shared_ptr<RatiosByLayer> ratios);

}  // namespace espalier::prune
