// SPDX-License-Identifier: Apache-2.0
/// Gate gradients: what the loss of each sample does when an output channel is turned down. The
/// channel is multiplied by a gate z = 1, after the batch norm that follows its layer if there is
/// one (in front of a batch norm, which undoes any scale, the gradient would be zero); then
/// dL_n/dz = sum over positions of a * dL_n/da, a the gated activation. Taylor and Fisher scores
/// are made of these numbers. With the statistics of the batch (ScoringMode::Train) the samples of
/// a batch move each other's activations in the norms behind, and what sample n gets of that is
/// counted as its own, as in published codes: dL_n/dz is N times the derivative of the batch's mean
/// loss with respect to a gate of sample n alone.
#pragma once

#include <span>
#include <vector>

#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// dL_n/dz of each sample's own loss L_n (not divided by the batch size), float64 (N,O), one tensor
/// per weight (O,..) of the context. Zero for weights that the loss does not depend on. The loss
/// must be the mean over the batch. Leaves no trace in the model. Throws NotImplemented, by name,
/// for a weight whose rows are not its layer's output channels (attention's joint projection).
std::vector<Tensor> gate_gradients(const ScoreContext& context,
                                   const data::Batch& batch,
                                   ScoringMode mode);

/// The gates of a site's units, (N,units): those of layers that make the same channel share one
/// gate, so their gradients are added sample by sample.
Tensor unit_gates(const Site& site,
                  std::span<const nn::NamedParameter> weights,
                  std::span<const Tensor> gates);

/// Batches 0 .. count-1 of the context's data; only the first when the inputs have a single one.
std::vector<data::Batch> scoring_batches(const ScoreContext& context, int64_t count);

}  // namespace espalier::prune
