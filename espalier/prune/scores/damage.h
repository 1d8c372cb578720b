// SPDX-License-Identifier: Apache-2.0
/// Optimal brain damage: weights by the diagonal of the loss's second derivatives.
#pragma once

#include <memory>

#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {

/// How the diagonal of the matrix of second derivatives is found.
enum class Diagonal : uint8_t {
  GaussNewton,  ///< E g^2, g of a sample whose label is drawn from the network's own softmax
  Fisher,       ///< E g^2, g of a sample with its label in the data
  Hessian,      ///< |E[v * H v]|, v of random signs: Hutchinson's estimate, or exact
};

/// Settings of the score.
struct DamageOptions {
  Diagonal diagonal = Diagonal::GaussNewton;  ///< how the Hessian's diagonal is found
  int64_t gradients = 256;                    ///< samples, of Gauss-Newton and Fisher
  /// Products with H of so many batches and vectors; 0: one product for every weight, exact, of the
  /// first batch.
  int64_t draws = 32;
  ScoringMode mode = ScoringMode::Eval;  ///< what norms and dropout do
};

/// h_kk w_k^2 / 2. (damage.cpp)
std::unique_ptr<Score> damage_score(const DamageOptions& options);

}  // namespace espalier::prune
