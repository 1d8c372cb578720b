// SPDX-License-Identifier: Apache-2.0
/// Data-free against data-driven pruning, with SNIP on random images between them.
#include <espalier/experiments/comparisons/comparisons.h>

namespace espalier::experiments::comparisons::list {

Experiment data_free_data_driven() {
  return {
      .name = "data-free-data-driven",
      .title = "Data-free against data-driven pruning",
      .section = "section 7.3, table 8",
      .what =
          "VGG-16 on two data sets. SynFlow and Smart-Ratio see no data; SNIP sees one batch (the "
          "survey: one sample a class); magnitude pruning starts from a network trained for as "
          "many "
          "epochs as it is then fine-tuned, so that it trains twice as long as the others; it and "
          "Smart-Ratio, whose densities are set by hand, are in the table and not in the findings. "
          "`snip-noise` is SNIP on a batch of random images and labels.",
      .plan =
          [](Plan& plan) {
            for (const int64_t seed : plan.scale().seeds) {
              for (const std::string& data : {plan.scale().data, plan.scale().other_data}) {
                const Where where = {"vgg16", data, seed};
                for (const double sparsity : plan.sparsities({0.9}, {0.5, 0.9})) {
                  plan.add(plan.pruned(where, "synflow", sparsity, {{"rounds", plan.rounds(100)}}));
                  plan.add(plan.pruned(where, "smart-ratio", sparsity, {{"ratio-rule", "plain"}}));
                  plan.add(plan.pruned(where, "snip", sparsity));
                  PlannedRun noise = plan.pruned(where, "snip", sparsity);
                  noise.method = "snip-noise";
                  noise.settings["scoring-input"] = "noise";
                  plan.add(noise);
                  plan.add(plan.fine_tuned(where, "magnitude", sparsity));
                }
              }
            }
          },
      // Not magnitude, which trains twice as long, and not Smart-Ratio, which is densities alone.
      .claims = {{.sentence =
                      "Data-driven methods do better than data-free ones in most cases, though "
                      "those do well too (here of the two that rank all layers together and train "
                      "as long).",
                  .column = "method",
                  .higher = {"snip"},
                  .lower = {"synflow"},
                  .within = {"model", "data", "sparsity"}},
                 {.sentence = "Data matter to SNIP: with random input its accuracy usually falls.",
                  .column = "method",
                  .higher = {"snip"},
                  .lower = {"snip-noise"},
                  .within = {"model", "data", "sparsity"}}},
      .second_data = {"svhn", "cifar100"},
  };
}

}  // namespace espalier::experiments::comparisons::list
