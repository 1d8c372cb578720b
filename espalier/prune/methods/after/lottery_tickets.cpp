// SPDX-License-Identifier: Apache-2.0
/// Lottery tickets by iterative magnitude pruning: train, prune, put the survivors back to where
/// they were, train again.
///
/// Source: Frankle, Carbin, "The lottery ticket hypothesis", arXiv 1803.03635 (back to
/// initialization); Frankle, Dziugaite, Roy, Carbin, arXiv 1912.05671 (back to an early step, which
/// larger networks need). Weights that are gone are not ranked again. A round's
/// momentum starts at zero, also when it starts at a later step. Scales of batch norm start at 1,
/// as initialization is the network's here and all methods share it; the published code draws them
/// from (0, 1).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method lottery_tickets() {
  std::vector<Option> options = round_options();
  options.push_back(real_option("rewind-to",
                                0.0,
                                0.0,
                                1.0,
                                "fraction of training",
                                "where every round starts; 0 is initialization"));
  options.push_back(choice_option(
      "survivors",
      {"rewound", "fresh"},
      "their weights in each round: those of that moment, or drawn anew (the control)"));
  options.push_back(allocation_option({"global", "uniform", "uniform-dense-first", "er", "erk"}));
  return {
      .name = "lottery-tickets",
      .title = "Lottery tickets by iterative magnitude pruning",
      .paper = "Frankle, Carbin, arXiv 1803.03635; Frankle et al., arXiv 1912.05671",
      .year = 2019,
      .speedup = Speedup::Unstructured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = false,
      .global = true,
      .data_free = true,
      .idea =
          "A dense network holds a small one that trains as well alone, if it starts from the "
          "weights it had: find it by training, and go back.",
      .formula =
          "s = |w| after training; n of the a weights still there go, n = ceil(fraction * a); the "
          "others return to w_k",
      .schedule =
          "the run trains `epochs`, prunes, goes back to step k with its weights, batch norm, "
          "learning rate and order of data, and trains to the end again, until the sparsity is "
          "reached: one training more than there are rounds",
      .differs =
          "exactly n weights go; the published code removes all up to the one at place n, one "
          "weight more. For VGG it leaves the classifier dense and out of the ranking: that is "
          "`exclude classifier`. It draws batch norm's scales from (0, 1); here they start at "
          "1, as for all methods. Momentum starts at zero in every round",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options = std::move(options),
      .recipe =
          [](const OptionValues& options) {
            const bool fresh = options.text("survivors") == "fresh";
            Recipe recipe;
            recipe.score = magnitude_score();
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = rounds_schedule(options.integer("rounds"), options.real("fraction"));
            recipe.recovery = std::make_unique<Recovery>(
                RecoveryOptions{.weights = fresh ? RoundWeights::Fresh : RoundWeights::Rewound,
                                .from = options.real("rewind-to")});
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
