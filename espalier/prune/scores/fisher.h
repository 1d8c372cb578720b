// SPDX-License-Identifier: Apache-2.0
/// Fisher scores of feature maps, and what a map costs.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <espalier/prune/scores/gate_gradients.h>

namespace espalier::prune {

/// How the loss of a map and the FLOPs that it costs become one score.
enum class FisherCost : uint8_t {
  Ratio,  ///< loss per FLOP saved: Delta / -dC
  Beta,   ///< Delta + beta * dC
  None,   ///< Delta
  Memory  ///< loss per activation that need not be kept
};

/// Where the gates are whose gradients are squared.
enum class FisherGates : uint8_t {
  Makers,  ///< behind the layers that make a channel, and their norms
  Readers  ///< in front of all layers that read it
};

/// Settings of the score.
struct FisherOptions {
  FisherCost cost = FisherCost::Ratio;      ///< what a channel costs
  double beta = 0.0;                        ///< loss per FLOP, of FisherCost::Beta
  int64_t batches = 10;                     ///< mini-batches averaged
  ScoringMode mode = ScoringMode::Train;    ///< what norms do while scoring; as published
  FisherGates gates = FisherGates::Makers;  ///< where they are
};

/// Delta of every feature map, with the cost where channels are ranked. Raw scores are Delta: every
/// entry of a filter holds its map's; gates in front of readers have none. (fisher.cpp)
std::unique_ptr<Score> fisher_score(const FisherOptions& options);

/// Delta and FLOPs saved (-dC) as one score, the smallest of which goes.
double fisher_rank(double delta, double saved, const FisherOptions& options);

/// Delta_k = 1/(2N) * sum over samples of g_nk^2, from gate gradients (N,units) of some batches.
std::vector<double> fisher_information(std::span<const Tensor> gates);

/// FLOPs that the network saves, as masked now, when a unit goes: in the layers that make the
/// channel and in those that read it. The paper counts 2 * k^2 * C_in - 1 FLOPs per output element
/// of a convolution. `positions`: output positions per weight, by the weight's name.
std::vector<double> flops_saved(const Site& site, const std::map<std::string, double>& positions);

/// Activations that need not be kept when a unit goes: the outputs of the convolutions and linear
/// layers that make it or work on it alone. `positions` as above.
std::vector<double> activations_saved(const Site& site,
                                      const std::map<std::string, double>& positions);

/// Output positions (H' * W' times uses) of every layer with a prunable weight, by the weight's
/// name.
std::map<std::string, double> output_positions(const ScoreContext& context);

}  // namespace espalier::prune
