// SPDX-License-Identifier: Apache-2.0
/// Shares by evolution: what each place keeps is a gene of a few widths, and only networks within
/// the budget are tried.
#pragma once

#include <memory>

#include <espalier/prune/search/walk.h>

namespace espalier::prune {

/// Settings of the search.
struct SharesOptions {
  int64_t candidates = 1000;  ///< networks that are tried, of all generations
  int64_t population = 50;    ///< of a generation
  int64_t parents = 10;       ///< the best of all so far
  double mutated = 0.1;       ///< share of the genes of a mutant that change, in the mean
  double least = 0.1;         ///< the smallest width, a share of a place's units
  int64_t widths = 31;        ///< in equal distances up to 1
};
/// The search. Half of a generation are mutants of one of the best, the other half have the genes
/// of two of them; the first is random. What is beyond the budget is made again, twenty times at
/// most, and then lowered, a width at a time. The reward is the accuracy. A target below the
/// smallest widths is told in a note, and the smallest widths are the result. Source: Liu et al.,
/// arXiv 1903.10258. (shares.cpp)
std::shared_ptr<RatioSearch> shares_search(const SharesOptions& options);

}  // namespace espalier::prune
