// SPDX-License-Identifier: Apache-2.0
/// Gradual magnitude pruning: sparsity rises along a cubic while the network trains.
///
/// Source: Zhu, Gupta, "To prune, or not to prune", arXiv 1710.01878. Begin and end are
/// rounded from the published code's (steps 20,000 and 75,000 of 97,656: 0.205 and 0.768). Unlike
/// there, a pruned weight never comes back, and the first layer is pruned like all others, so that
/// the sparsity is that of the whole network (`uniform-dense-first` keeps it).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method gradual_magnitude() {
  return {
      .name = "gmp",
      .title = "Gradual magnitude pruning",
      .paper = "Zhu, Gupta, arXiv 1710.01878",
      .year = 2017,
      .speedup = Speedup::Unstructured,
      .when = When::During,
      .how = How::Criterion,
      .one_shot = false,
      .global = false,
      .data_free = true,
      .idea =
          "Prune a little at a time while training goes on: much while the network is redundant, "
          "little near the end, so that it can recover in between.",
      .formula = "s = |w|; at step t the sparsity is s_f + (s_i - s_f) * (1 - (t - t0) / (n dt))^3",
      .schedule =
          "updates every `frequency` steps from `begin` to `end`; training then goes on with the "
          "mask fixed",
      .differs =
          "a pruned weight never comes back; the first layer is pruned like all others "
          "(published: dense, `allocation uniform-dense-first`)",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options =
          {
              real_option("begin", 0.2, 0.0, 1.0, "fraction of training", "first update"),
              real_option("end", 0.75, 0.0, 1.0, "fraction of training", "final sparsity reached"),
              integer_option("frequency", 100, 1, 1'000'000, "steps", "distance of updates"),
              real_option("initial-sparsity", 0.0, 0.0, 1.0, "", "sparsity of the first update"),
              allocation_option({"uniform", "uniform-dense-first", "global", "er", "erk"}),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = magnitude_score();
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule =
                cubic_schedule({.begin = options.real("begin"),
                                .end = options.real("end"),
                                .frequency = options.integer("frequency"),
                                .initial = Sparsity(options.real("initial-sparsity"))});
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
