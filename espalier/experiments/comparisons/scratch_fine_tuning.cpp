// SPDX-License-Identifier: Apache-2.0
/// What to train after pruning a trained network: what is left of it, the same network from new
/// weights, or from weights of an earlier moment.
#include <espalier/experiments/comparisons/comparisons.h>

namespace espalier::experiments::comparisons::list {

Experiment scratch_fine_tuning() {
  return {
      .name = "scratch-fine-tuning",
      .title = "Training from scratch against fine-tuning, with rewinding beside them",
      .section = "section 7.5, figure 10",
      .what =
          "A trained ResNet-32 is pruned by magnitude or SNIP. Then, for the same number of "
          "epochs: fine-tuning of its weights at a fifth of the rate, training from newly drawn "
          "weights under the same mask (from-scratch), or from the weights that the network "
          "started with (lottery-ticket). For magnitude also weight rewinding and learning-rate "
          "rewinding, which repeat the last nine tenths of the training.",
      .plan =
          [](Plan& plan) {
            for (const int64_t seed : plan.scale().seeds) {
              const Where where = {"resnet32", plan.scale().data, seed};
              for (const double sparsity : plan.sparsities({0.8, 0.95}, {0.5, 0.8, 0.9, 0.95})) {
                for (const char* method : {"magnitude", "snip"}) {
                  PlannedRun tuned = plan.fine_tuned(where, method, sparsity);
                  tuned.variant = "fine-tuning";
                  const size_t mask = plan.add(tuned);

                  PlannedRun scratch =
                      plan.fine_tuned(where, method, sparsity, {{"ablation", "reinit"}});
                  scratch.settings["lr"] = plan.scale().settings.at("lr");
                  scratch.variant = "from-scratch";
                  plan.add(scratch);

                  PlannedRun ticket = plan.run(where);
                  ticket.method = method;
                  ticket.sparsity = sparsity;
                  ticket.variant = "lottery-ticket";
                  ticket.mask_of = mask;
                  plan.add(ticket);
                }
                for (const char* retrain : {"weight-rewinding", "lr-rewinding"}) {
                  PlannedRun rewound = plan.pruned(
                      where, "rewinding", sparsity, {{"rounds", "1"}, {"retrain", retrain}});
                  rewound.method = "magnitude";
                  rewound.variant = retrain;
                  plan.add(rewound);
                }
              }
            }
          },
      .claims = {{.sentence = "Fine-tuning does better than training from scratch.",
                  .column = "variant",
                  .higher = {"fine-tuning"},
                  .lower = {"from-scratch"},
                  .within = {"model", "data", "method", "sparsity"}},
                 {.sentence = "Weight rewinding can reach a higher accuracy than fine-tuning.",
                  .kind = Claim::Kind::CanBeHigher,
                  .column = "variant",
                  .higher = {"weight-rewinding"},
                  .lower = {"fine-tuning"},
                  .within = {"model", "data", "method", "sparsity"}}},
  };
}

}  // namespace espalier::experiments::comparisons::list
