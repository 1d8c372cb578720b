// SPDX-License-Identifier: Apache-2.0
/// Iterative magnitude pruning with one of three ways to train again: learning-rate rewinding,
/// weight rewinding, fine-tuning.
///
/// Source: Renda, Frankle, Carbin, "Comparing rewinding and fine-tuning in neural network pruning",
/// arXiv 2003.02389. With a schedule whose last rate is nearly zero (one-cycle, cosine),
/// fine-tuning needs `tune-lr`; the paper's step schedules do not.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method rewinding() {
  std::vector<Option> options = round_options();
  options.push_back(choice_option(
      "retrain", {"lr-rewinding", "weight-rewinding", "fine-tuning"}, "how a round trains"));
  options.push_back(real_option("retrain-part",
                                0.9,
                                0.0,
                                1.0,
                                "fraction of training",
                                "length t of a round: the last t of the training is repeated"));
  options.push_back(
      needing(real_option("tune-lr",
                          0.0,
                          0.0,
                          1000.0,
                          "",
                          "learning rate of fine-tuning; 0: the last one of the training"),
              {.option = "retrain", .values = {"fine-tuning"}}));
  options.push_back(allocation_option({"global", "uniform", "uniform-dense-first", "er", "erk"}));
  return {
      .name = "rewinding",
      .title = "Learning-rate rewinding, weight rewinding, fine-tuning",
      .paper = "Renda, Frankle, Carbin, arXiv 2003.02389",
      .year = 2020,
      .speedup = Speedup::Unstructured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = false,
      .global = true,
      .data_free = true,
      .idea =
          "After pruning, train again with the large learning rates of earlier in the training "
          "instead of the last small one; the weights may stay as they are.",
      .formula =
          "s = |w|; T steps of training, t of a round: lr-rewinding keeps w_T and takes the rates "
          "of T-t .. T, weight-rewinding also returns to w_(T-t), fine-tuning keeps w_T and the "
          "rate of T",
      .schedule =
          "the run trains `epochs`, then prunes and repeats its last part, round by round until "
          "the sparsity is reached",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options = std::move(options),
      .recipe =
          [](const OptionValues& options) {
            const std::string& retrain = options.text("retrain");
            Recipe recipe;
            recipe.score = magnitude_score();
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = rounds_schedule(options.integer("rounds"), options.real("fraction"));
            recipe.recovery = std::make_unique<Recovery>(RecoveryOptions{
                .weights =
                    retrain == "weight-rewinding" ? RoundWeights::Rewound : RoundWeights::Final,
                .rate = retrain == "fine-tuning" ? RoundRate::Constant : RoundRate::Schedule,
                .from = 1.0 - options.real("retrain-part"),
                .constant_rate = options.real("tune-lr")});
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
