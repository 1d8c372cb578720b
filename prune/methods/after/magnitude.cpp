// SPDX-License-Identifier: Apache-2.0
/// Magnitude pruning, one-shot or iterative.
///
/// Source: Han, Pool, Tran, Dally, "Learning both weights and connections", arXiv 1506.02626.
/// Thresholds are exact counts here, global or per layer, instead of a hand-set multiple of each
/// layer's deviation. The paper's smaller dropout for retraining is the user's: no network of the
/// zoo drops out by default.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method magnitude() {
  return {
      .name = "magnitude",
      .title = "Magnitude pruning",
      .paper = "Han, Pool, Tran, Dally, arXiv 1506.02626",
      .year = 2015,
      .speedup = Speedup::Unstructured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = true,
      .global = true,
      .data_free = true,
      .idea =
          "In a trained network the smallest weights matter least: remove them and train on what "
          "is "
          "left.",
      .formula =
          "s = |w|; round r of R keeps the fraction (1 - S)^(r/R) with the highest scores among "
          "the weights still there",
      .schedule =
          "start from trained weights; one update before fine-tuning, or `rounds` updates spread "
          "evenly over it",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options =
          {
              integer_option("rounds", 1, 1, 1000, "", "updates; 1 is one-shot, more is iterative"),
              real_option("until",
                          1.0,
                          0.0,
                          1.0,
                          "fraction of training",
                          "the part of the training over which rounds are spread"),
              allocation_option({"global", "uniform", "uniform-dense-first", "er", "erk"}),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = magnitude_score();
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = iterative_schedule(options.integer("rounds"), options.real("until"));
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
