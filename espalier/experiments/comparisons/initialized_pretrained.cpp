// SPDX-License-Identifier: Apache-2.0
/// Pruning initialized against pruning pre-trained weights, by methods made for initialized ones.
#include <espalier/experiments/comparisons/comparisons.h>
#include <espalier/experiments/comparisons/gates.h>

namespace espalier::experiments::comparisons::list {

Experiment initialized_pretrained() {
  return {
      .name = "initialized-pretrained",
      .title = "Initialized against pre-trained weights",
      .section = "section 7.4, figure 9",
      .what =
          "SynFlow and SNIP prune VGG-16 at its initialization, or after a dense training; what is "
          "left is then trained in the same way from the weights that were scored.",
      .plan =
          [](Plan& plan) {
            for (const int64_t seed : plan.scale().seeds) {
              const Where where = {"vgg16", plan.scale().data, seed};
              const size_t dense = plan.dense(where);
              for (const double sparsity :
                   plan.sparsities({0.5, 0.9, 0.98}, {0.5, 0.8, 0.9, 0.98})) {
                for (const char* method : {"synflow", "snip"}) {
                  for (const bool trained : {false, true}) {
                    PlannedRun run =
                        plan.pruned(where,
                                    method,
                                    sparsity,
                                    options_of(method, {{"rounds", plan.rounds(100)}}));
                    run.variant = trained ? "pre-trained" : "initialized";
                    if (trained) run.weights_of = dense;
                    plan.add(run);
                  }
                }
              }
            }
          },
      .claims = {{.sentence =
                      "Pruning pre-trained weights does not always give a higher accuracy than "
                      "pruning initialized ones; at some sparsities it is lower.",
                  .kind = Claim::Kind::NotAlwaysHigher,
                  .column = "variant",
                  .higher = {"pre-trained"},
                  .lower = {"initialized"},
                  .within = {"model", "data", "method", "sparsity"}}},
  };
}

}  // namespace espalier::experiments::comparisons::list
