// SPDX-License-Identifier: Apache-2.0
/// Unstructured against structured pruning: the same scores remove single weights, or whole
/// filters by the sum of their weights' scores.
#include <espalier/experiments/comparisons/comparisons.h>
#include <espalier/experiments/comparisons/gates.h>

namespace espalier::experiments::comparisons::list {

Experiment unstructured_structured() {
  return {
      .name = "unstructured-structured",
      .title = "Unstructured against structured pruning",
      .section = "section 7.1, table 7",
      .what =
          "SNIP and GraSP prune VGG-16 before training: single weights, or whole filters, the "
          "output channels of a layer, by the sum of their weights' scores. Both remove the same "
          "share of weights. Every layer keeps at least one filter. The survey shows the best of "
          "three runs, this page the mean.",
      .plan =
          [](Plan& plan) {
            for (const int64_t seed : plan.scale().seeds) {
              const Where where = {"vgg16", plan.scale().data, seed};
              plan.dense(where);
              for (const double sparsity : plan.sparsities({0.5, 0.8}, {0.5, 0.7, 0.8, 0.9})) {
                for (const char* method : {"snip", "grasp"}) {
                  for (const bool structured : {false, true}) {
                    auto options = options_of(method, {{"scoring-precision", "float32"}});
                    options["pattern"] = structured ? "filter" : "unstructured";
                    if (structured) options["min-per-layer"] = "1";
                    PlannedRun run = plan.pruned(where, method, sparsity, options);
                    run.variant = structured ? "structured" : "unstructured";
                    plan.add(run);
                  }
                }
              }
            }
          },
      .claims = {{.sentence =
                      "At the same share of removed weights, unstructured pruning usually gives a "
                      "higher accuracy than structured pruning by the same scores.",
                  .column = "variant",
                  .higher = {"unstructured"},
                  .lower = {"structured"},
                  .within = {"model", "data", "method", "sparsity"}}},
  };
}

}  // namespace espalier::experiments::comparisons::list
