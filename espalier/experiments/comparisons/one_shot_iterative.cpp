// SPDX-License-Identifier: Apache-2.0
/// One-shot against iterative pruning: one update of the masks, or many small ones to the same end.
#include <espalier/experiments/comparisons/comparisons.h>

namespace espalier::experiments::comparisons::list {

Experiment one_shot_iterative() {
  return {
      .name = "one-shot-iterative",
      .title = "One-shot against iterative pruning",
      .section = "section 7.2, figure 7",
      .what =
          "SynFlow scores before training once, or a hundred times. Magnitude pruning of a trained "
          "network removes all at once, or in five rounds over the first half of fine-tuning; both "
          "fine-tune for the same number of epochs.",
      .plan =
          [](Plan& plan) {
            for (const int64_t seed : plan.scale().seeds) {
              for (const char* model : {"vgg16", "resnet32"}) {
                const Where where = {model, plan.scale().data, seed};
                for (const double sparsity :
                     plan.sparsities({0.9, 0.98}, {0.9, 0.95, 0.98, 0.99})) {
                  for (const bool iterative : {false, true}) {
                    const std::string variant = iterative ? "iterative" : "one-shot";
                    PlannedRun synflow =
                        plan.pruned(where,
                                    "synflow",
                                    sparsity,
                                    {{"rounds", iterative ? plan.rounds(100) : "1"}});
                    synflow.variant = variant;
                    plan.add(synflow);
                    std::map<std::string, std::string> rounds = {{"rounds", "1"}};
                    if (iterative) rounds = {{"rounds", plan.rounds(5)}, {"until", "0.5"}};
                    PlannedRun magnitude = plan.fine_tuned(where, "magnitude", sparsity, rounds);
                    magnitude.variant = variant;
                    plan.add(magnitude);
                  }
                }
              }
            }
          },
      .claims = {{.sentence =
                      "Iterative pruning usually gives a higher accuracy than one-shot pruning by "
                      "the same method.",
                  .column = "variant",
                  .higher = {"iterative"},
                  .lower = {"one-shot"},
                  .within = {"model", "data", "method", "sparsity"}}},
  };
}

}  // namespace espalier::experiments::comparisons::list
