// SPDX-License-Identifier: Apache-2.0
/// Reader gates: what the loss of each sample does when a channel is turned down where layers read
/// it. (Where a layer makes it: gate_gradients.h.)
#pragma once

#include <span>
#include <vector>

#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// dL_n/dm of each sample's own loss L_n, float64 (N,units), one tensor per site: m = 1 multiplies
/// a channel in front of every layer that reads it, depthwise convolutions included, so that it is
/// the sum over these of sum over positions of a * dL_n/da, a what the layer reads. Norms and
/// samples as in `gate_gradients`. The loss must be the mean over the batch. Leaves no trace in the
/// model. Throws NotImplemented, by name, for a reader whose weight's columns are not the channels
/// of its input.
std::vector<Tensor> reader_gates(const ScoreContext& context,
                                 const data::Batch& batch,
                                 ScoringMode mode,
                                 std::span<const Site> sites);

}  // namespace espalier::prune
