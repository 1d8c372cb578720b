// SPDX-License-Identifier: Apache-2.0
/// ADMM: training towards weights that one or several constraints allow.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// Values in float64 by the names of weights, each in its weight's shape.
using ValuesByName = std::map<std::string, Tensor>;

/// What weights are drawn to.
struct AdmmConstraint {
  std::string name;  ///< in saved states and reports; without a dot
  /// The nearest values that it allows, from those of all prunable weights; nothing of weights that
  /// it does not bind.
  std::function<ValuesByName(const Subject& subject, const ValuesByName& values)> project;
};

/// Weights that a mask update to `sparsity` would leave as they are: what it leaves, found on a
/// copy. Binds all prunable weights.
AdmmConstraint left_by(std::shared_ptr<Action> update, Sparsity sparsity);

/// Settings of the alternating direction method of multipliers.
struct AdmmOptions {
  double until = 0.5;            ///< fraction of training, from 0, in which it lasts
  int64_t rounds = 12;           ///< outer iterations of equal length
  double strength = 1e-4;        ///< rho of the first
  double final_strength = 1e-2;  ///< of the last; it grows by the same factor in between
};
/// While its event lasts, rho (W - Z + U) is added to the gradients of the prunable weights W for
/// each constraint that binds them, which is the gradient of rho/2 ||W - Z + U||^2. Z = P(W + U) is
/// the projection of W + U; U, at first zero, becomes U + W - Z. Every constraint has Z and U of
/// its own. They are made anew at the end of every outer iteration, and when rho changes, U is
/// divided by the same factor, so that the multiplier rho U is as before. At the moments of an
/// event the action is `update` itself, and tells how far W was from Z. Throws ValueError for
/// strengths that are not positive or fall. Source: Zhang et al., arXiv 1804.03294. (admm.cpp)
std::shared_ptr<Action> admm(const AdmmOptions& options,
                             std::vector<AdmmConstraint> constraints,
                             std::shared_ptr<Action> update);

}  // namespace espalier::prune
