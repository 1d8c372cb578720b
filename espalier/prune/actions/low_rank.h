// SPDX-License-Identifier: Apache-2.0
/// Weights cut into factors (nn/forms/low_rank.h), which take their place for good.
#pragma once

#include <memory>

#include <espalier/nn/forms/low_rank.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// What says how many ranks a layer has.
enum class RankRule : uint8_t {
  Sparsity,  ///< as many as fit into the kept fraction of the layer's weights
  Energy     ///< as few as have this share of the squares of the singular values
};
/// Settings of the factors of a network.
struct LowRankOptions {
  /// Of convolutions; linear layers are matrices. Tucker2 leaves the first convolution and kernels
  /// of one weight as they are.
  nn::LowRank::Split split = nn::LowRank::Split::Channel;
  RankRule rule = RankRule::Sparsity;  ///< how many ranks
  double energy = 0.95;                ///< of RankRule::Energy; of Tucker2 on both sides
  int64_t iterations = 3;              ///< of Tucker2: HOOI's
};
/// The ranks of a weight at this share of its numbers, of Tucker2 in proportion on both sides; an
/// empty one if none fits, and at 0, where a weight stays whole. A function of sizes alone.
std::optional<nn::LowRank::Options> ranks_within(const Shape& weight,
                                                 nn::LowRank::Split split,
                                                 Sparsity sparsity);
/// The factors of a weight (its shape, any type) at these ranks, in the form's order.
std::vector<Tensor> factors_of(const Tensor& weight,
                               const nn::LowRank::Options& ranks,
                               int64_t iterations);
/// When its event begins, prunable weights are cut into factors of what they are; from then on
/// these are trained and multiplied with, and stay on the network. A target that is no sparsity is
/// met by the sparsity of the layers at which the factors cost what is asked, and then one rank
/// more in one layer after another. At a moment it tells how many numbers each layer has, and which
/// layers stay as they are and why. (low_rank.cpp)
std::shared_ptr<Action> cut_into_factors(const LowRankOptions& options);

}  // namespace espalier::prune
