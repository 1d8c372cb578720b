// SPDX-License-Identifier: Apache-2.0
/// ADMM: training towards weights that a mask update would leave as they are.
#pragma once

#include <memory>

#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// Settings of the alternating direction method of multipliers.
struct AdmmOptions {
  double until = 0.5;            ///< fraction of training, from 0, in which it lasts
  int64_t rounds = 12;           ///< outer iterations of equal length
  double strength = 1e-4;        ///< rho of the first
  double final_strength = 1e-2;  ///< of the last; it grows by the same factor in between
};
/// While its event lasts, rho (W - Z + U) is added to the gradients of the prunable weights W,
/// which is the gradient of rho/2 ||W - Z + U||^2. Z = P(W + U) is what `update` to `sparsity`
/// leaves of W + U, found on a copy; U, at first zero, becomes U + W - Z. Both are made anew at the
/// end of every outer iteration, and when rho changes, U is divided by the same factor, so that the
/// multiplier rho U is as before. At the moments of an event the action is `update` itself, and
/// tells how far W was from Z. Source: Zhang et al., arXiv 1804.03294. (admm.cpp)
std::shared_ptr<Action> admm(const AdmmOptions& options,
                             std::shared_ptr<Action> update,
                             Sparsity sparsity);

}  // namespace espalier::prune
