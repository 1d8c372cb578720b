// SPDX-License-Identifier: Apache-2.0
/// Random pruning with chosen layer densities: the baseline.
///
/// Source: Liu et al., "The unreasonable effectiveness of random pruning", arXiv 2202.02643.
/// Of its rules for layer densities, ERK+ is `erk` with the classifier in `exclude`, those of SNIP
/// and GraSP are these methods with `ablation` shuffle; uniform+ (a classifier of at least 0.2) is
/// not here.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method random_pruning() {
  return {
      .name = "random",
      .title = "Random pruning with chosen layer densities",
      .paper = "Liu et al., arXiv 2202.02643",
      .year = 2022,
      .speedup = Speedup::Unstructured,
      .when = When::Before,
      .how = How::Criterion,
      .one_shot = true,
      .global = false,
      .data_free = true,
      .idea =
          "In a wide or deep network a random mask with sensible layer densities trains almost as "
          "well "
          "as a dense one; any cleverer choice must beat it.",
      .formula =
          "s = uniform(0, 1) for every unit; layer l keeps its d_l N_l highest. ERK: d_l = eps * "
          "(O + I + R + S) / (O I R S), capped at 1.",
      .schedule = "one update before training; then train with the mask fixed",
      .differs =
          "the rule uniform+ (a classifier of at least 0.2) is not here; numbers are exact "
          "where the published code draws each weight by itself",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options = {allocation_option({"erk", "er", "uniform", "uniform-dense-first"})},
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = random_score();
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = one_shot_schedule();
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
