// SPDX-License-Identifier: Apache-2.0
/// Ticks of the gate decorator: short phases in which gates show how much the loss notices them.
///
/// A gate phi takes the scale's place in a batch norm: gamma x + beta = phi (x + beta / gamma), so
/// that phi moves the shift too. The network need not be rebuilt for it, as dL/dphi = dL/dgamma +
/// (beta / gamma) dL/dbeta. Source: You, Yan, Ye, Ma, Wang, arXiv 1909.08174, and its published
/// code, which keeps beta / gamma within -10 .. 10.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <espalier/prune/scores/score.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// sum over steps of |phi dL/dphi| of every channel, float64, by the name of the norm's scale.
using GateSums = std::map<std::string, Tensor>;

/// |phi dL/dphi| of one step, from a norm's scale and shift and their gradients; phi is the scale.
double gate_taylor(double scale, double shift, double of_scale, double of_shift);

/// While its event lasts, convolutions are left alone, all other parameters train, and `sums`,
/// empty at first, collect. Throws ValueError for a model in which no channel that may go has a
/// batch norm. (gate_ticks.cpp)
std::shared_ptr<Action> gate_ticks(std::shared_ptr<GateSums> sums);

/// Of channels: what `sums` hold, summed over all norms of a channel; 0 of norms without a sum.
/// (gate_ticks.cpp)
std::unique_ptr<Score> gate_ticks_score(std::shared_ptr<const GateSums> sums);

}  // namespace espalier::prune
