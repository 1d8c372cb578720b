// SPDX-License-Identifier: Apache-2.0
/// Importance of channel groups as dependency graphs have it: everything that goes with a channel
/// says how much it matters. Source: Fang, Ma, Song, Bi Mi, Wang, arXiv 2301.12900, and the
/// authors' code.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {

/// The members of a channel group: the rows that make a channel, the columns that read it, filters
/// of depthwise convolutions and the scales of norms; no biases. `scales`: as `norm_scales`. Of a
/// site of one weight that weight.
std::vector<const SitePart*> members_of(const Site& site,
                                        std::span<const nn::NamedParameter> scales);

/// I_k = the mean over the members of sum w[k]^2, of every unit.
std::vector<double> group_importance(const Site& site, std::span<const nn::NamedParameter> scales);

/// 2^(alpha (max I - I_k) / (max I - min I)) of every unit: from 1 for the most important one to
/// 2^alpha. Only those that `alive` marks are looked at, others get 0; 1 where all are equal.
std::vector<double> growing_factors(std::span<const double> importance,
                                    std::span<const uint8_t> alive,
                                    double alpha);

/// What importances of a group are divided by, so that groups compare.
enum class GroupNormalizer : uint8_t {
  Mean,  ///< of the channels that are there
  Max,   ///< the largest
  None   ///< 1
};
/// I_k of channels, normalised in every group. Without a meaning for single weights.
/// (group_importance.cpp)
std::unique_ptr<Score> group_importance_score(GroupNormalizer normalizer = GroupNormalizer::Mean);

}  // namespace espalier::prune
