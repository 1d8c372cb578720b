// SPDX-License-Identifier: Apache-2.0
/// First-order Taylor scores: the change of the loss when a filter goes, from one gradient.
#pragma once

#include <memory>

#include <espalier/prune/scores/gate_gradients.h>

namespace espalier::prune {

/// How a filter S is scored from mini-batch gradients.
enum class TaylorForm : uint8_t {
  Gate,          ///< (dL/dz)^2 of the filter's gate: (sum of g w)^2
  SumOfSquares,  ///< sum of (g w)^2 over its weights
  AbsoluteMean,  ///< mean over samples of |dL_n/dz|, divided by the layer's l2 norm
};

/// Settings of the score.
struct TaylorOptions {
  TaylorForm form = TaylorForm::Gate;  ///< where the gradient is taken
  int64_t batches = 30;                ///< mini-batches averaged
  double momentum = 0.0;               ///< share of the last mask update's scores in the new ones
  ScoringMode mode = ScoringMode::Train;  ///< what norms do while scoring; as published
};

/// Raw scores: every entry of a filter holds the filter's; for SumOfSquares every weight its own.
/// (taylor.cpp)
std::unique_ptr<Score> taylor_score(const TaylorOptions& options);

}  // namespace espalier::prune
