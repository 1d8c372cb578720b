// SPDX-License-Identifier: Apache-2.0
/// Rewards of decisions that were drawn, which have no gradient: that of their probability takes
/// its place. Source: Williams, Machine Learning 8 (1992), REINFORCE.
#pragma once

#include <espalier/autograd/variable.h>

namespace espalier::prune {

/// What each of G decisions, made one after the other, brings from then on: R_i = sum over j >= i
/// of rewards_j, and `last`, what comes at the end. rewards (N,G), last (N), floating; the result
/// (N,G), float64. Throws ShapeError.
Tensor returns_of(const Tensor& rewards, const Tensor& last);

/// -sum over n and i of returns R log P(what was drawn), P = p where open, else 1 - p. p (N,G) with
/// its tape, open (N,G) ones and zeros, returns (N,G) of any type. A scalar; its gradient is that
/// of -E[R]. Throws ShapeError.
Variable reinforce_loss(const Variable& p, const Tensor& open, const Tensor& returns);

}  // namespace espalier::prune
