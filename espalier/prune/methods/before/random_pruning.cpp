// SPDX-License-Identifier: Apache-2.0
/// Random pruning with chosen layer densities: the baseline.
///
/// Source: Liu et al., "The unreasonable effectiveness of random pruning", arXiv 2202.02643. Of its
/// rules for layer densities, ERK+ is `erk` with the classifier in `exclude`; those of SNIP and
/// GraSP are these methods with `ablation` shuffle.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Random {
  std::string allocation = "erk";
};

}  // namespace

Method random_pruning() {
  return make_method<Random>(
      {.name = "random",
       .title = "Random pruning with chosen layer densities",
       .paper = "Liu et al., arXiv 2202.02643",
       .year = 2022,
       .when = When::Before,
       .idea = "In a wide or deep network a random mask with sensible layer densities trains "
               "almost as well as a dense one; any cleverer choice must beat it.",
       .formula = "s = uniform(0, 1) for every unit; layer l keeps its d_l N_l highest. ERK: d_l = "
                  "eps * (O + I + R + S) / (O I R S), capped at 1.",
       .schedule = "one update before training; then train with the mask fixed",
       .differs = "the rule uniform+ (a classifier of at least 0.2) is not here; numbers are exact "
                  "where the published code draws each weight by itself",
       .use_when = "A baseline is needed that any choice of weights must beat, or a mask without "
                   "data before training.",
       .not_when = "A trained network is there: what it learnt tells which weights to keep.",
       .patterns = every_pattern()},
      {allocation_option(&Random::allocation, {"erk", "er", "uniform", "uniform-dense-first"})},
      [](const Random& o, const PruneSettings&) -> Timeline {
        return {{at(
            one_shot_schedule(),
            mask_update({.score = random_score(), .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
