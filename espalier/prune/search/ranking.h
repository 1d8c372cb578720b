// SPDX-License-Identifier: Apache-2.0
/// Learned global rankings: one ranking of all units, in which each place's scores count by a
/// factor and a shift of its own, which are searched.
#pragma once

#include <memory>

#include <espalier/prune/search/search.h>
#include <espalier/prune/search/walk.h>

namespace espalier::prune {

/// Settings of the search.
struct RankingOptions {
  int64_t candidates = 400;  ///< rankings that are tried
  int64_t population = 64;   ///< of the evolution
  int64_t parents = 16;      ///< of which the best has a mutant
  double mutated = 0.1;      ///< share of the numbers of a mutant that change, in the mean
  double least = 0.1;        ///< no place keeps less
};
/// The search, for scores that compare (squared norms). A candidate holds factor and shift of each
/// place; the first is 1 and 0. Factors are exp(N(0, s)), shifts N(0, standard deviation of the
/// place's scores), of a mutant times and beside its parent's, with s from 1 to 0.2. Its reward is
/// the accuracy of the network. Source: Chin, Ding, Zhang, Marculescu, arXiv 1904.12368.
/// (ranking.cpp)
std::shared_ptr<RatioSearch> ranking_search(const RankingOptions& options);

/// The shares that stay when units go in order of factor * score + shift, the lowest first and of
/// equal ones the last, until the network is within the budget; `ranking` holds factor and shift of
/// each place in turns. No place keeps less than `least` of its units, rounded up, or than one.
Candidate ranked_ratios(const RatioTask& task, const Candidate& ranking, double least);

}  // namespace espalier::prune
