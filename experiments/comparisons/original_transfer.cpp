// SPDX-License-Identifier: Apache-2.0
/// Masks found on the task itself against masks found on another data set. Transfer between
/// architectures is not part of it.
#include <espalier/experiments/comparisons/comparisons.h>

namespace espalier::experiments::comparison_list {

Experiment original_transfer() {
  return {
      .name = "original-transfer",
      .title = "Original-task against transfer pruning",
      .section = "section 7.6",
      .what =
          "Masks are found on one of two data sets: by magnitude in a trained VGG-16, or by SNIP "
          "at "
          "initialization. The network with that mask is then trained from its initial weights on "
          "the same data set (original) or on the other one (transfer). Transfer between data sets "
          "only, not between architectures; the survey's own figures are of ImageNet's size.",
      .plan =
          [](Plan& plan) {
            const std::vector<std::string> sets = {plan.scale().data, plan.scale().other_data};
            for (const int64_t seed : plan.scale().seeds) {
              for (const double sparsity : plan.sparsities({0.9}, {0.4, 0.8, 0.9, 0.95})) {
                for (const char* method : {"magnitude", "snip"}) {
                  std::vector<size_t> masks;
                  for (const std::string& source : sets) {
                    const Where where = {"vgg16", source, seed};
                    PlannedRun mask = method == std::string("magnitude")
                                          ? plan.fine_tuned(where, method, sparsity)
                                          : plan.pruned(where, method, sparsity);
                    mask.settings["epochs"] = "0";
                    mask.variant = "mask";
                    mask.compared = false;
                    masks.push_back(plan.add(mask));
                  }
                  for (size_t source = 0; source < sets.size(); ++source) {
                    for (size_t target = 0; target < sets.size(); ++target) {
                      PlannedRun run = plan.run({"vgg16", sets[target], seed});
                      run.method = method;
                      run.sparsity = sparsity;
                      run.mask_of = masks[source];
                      run.variant = source == target ? "original" : "transfer";
                      plan.add(run);
                    }
                  }
                }
              }
            }
          },
      .claims = {{.sentence =
                      "Transferred masks can do better than masks obtained on the original task.",
                  .column = "variant",
                  .higher = {"transfer"},
                  .lower = {"original"},
                  .within = {"model", "data", "method", "sparsity"}}},
  };
}

}  // namespace espalier::experiments::comparison_list
