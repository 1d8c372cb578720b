// SPDX-License-Identifier: Apache-2.0
/// SynFlow: iterative pruning without data that conserves synaptic flow.
///
/// Source: Tanaka, Kunin, Yamins, Ganguli, "Pruning neural networks without any data by iteratively
/// conserving synaptic flow", arXiv 2006.05467. Batch norm uses its initial statistics, also in a
/// network that was trained before (the published code takes the absolute values of those it
/// finds: option flow-statistics). The published networks have no ReLU6; its limit is lifted while
/// scoring, for of absolute values nearly all units would be full, and a full one passes no flow
/// on.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune::method_list {

Method synflow() {
  return {
      .name = "synflow",
      .title = "SynFlow: iterative conservation of synaptic flow",
      .paper = "Tanaka, Kunin, Yamins, Ganguli, arXiv 2006.05467",
      .year = 2020,
      .speedup = Speedup::Unstructured,
      .when = When::Before,
      .how = How::Criterion,
      .one_shot = false,
      .global = true,
      .data_free = true,
      .idea =
          "A score that is conserved from layer to layer, and is computed again after every small "
          "round of pruning, never cuts a layer off. It needs no data.",
      .formula =
          "s = |w dR/dw|, R = sum of the outputs for an input of ones, with |w| in place of every "
          "parameter; round k of n keeps the fraction (1 - S)^(k/n) with the highest scores",
      .schedule = "`rounds` rounds before training; then train with the mask fixed",
      .differs =
          "batch norm uses its initial statistics, also in a trained network (published: the "
          "absolute values of those it finds, `flow-statistics running`); the limit of ReLU6, "
          "which no published network has, is lifted while scoring",
      .patterns = {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "channel"},
      .options =
          {
              integer_option("rounds", 100, 1, 10'000, "", "rounds of scoring and pruning"),
              choice_option("rounds-pace",
                            {"exponential", "linear"},
                            "kept fraction of round k of n: (1 - S)^(k/n), or 1 - S k/n"),
              choice_option("flow-statistics",
                            {"initial", "running"},
                            "of batch norm while scoring: mean 0 and variance 1, or its own"),
              allocation_option({"global", "uniform", "uniform-dense-first", "er", "erk"}),
          },
      .recipe =
          [](const OptionValues& options) {
            const bool linear = options.text("rounds-pace") == "linear";
            const bool running = options.text("flow-statistics") == "running";
            Recipe recipe;
            recipe.score =
                synflow_score(running ? SynflowStatistics::Running : SynflowStatistics::Initial);
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = iterative_schedule(
                options.integer("rounds"), 0.0, linear ? Pace::Linear : Pace::Exponential);
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
