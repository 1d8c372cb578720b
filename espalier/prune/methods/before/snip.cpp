// SPDX-License-Identifier: Apache-2.0
/// SNIP: single-shot pruning by connection sensitivity.
///
/// Source: Lee, Ajanthan, Torr, "SNIP: single-shot network pruning based on connection
/// sensitivity", arXiv 1810.02340. Scores weights only (the published code scores biases too, which
/// loses all that start at zero: with that a mask of biases has no use, so it is no option), and
/// trains from the weights it scored (the published code draws new ones: ablation reinit).
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune::method_list {

Method snip() {
  return {
      .name = "snip",
      .title = "SNIP: connection sensitivity",
      .paper = "Lee, Ajanthan, Torr, arXiv 1810.02340",
      .year = 2019,
      .speedup = Speedup::Unstructured,
      .when = When::Before,
      .how = How::Criterion,
      .one_shot = true,
      .global = true,
      .data_free = false,
      .idea = "Before training, keep the connections whose removal would change the loss most.",
      .formula = "s = |w dL/dw| of one batch, divided by its sum over all weights",
      .schedule = "one update before training, from one batch; then train with the mask fixed",
      .differs =
          "weights alone are scored (the published code scores biases too, and so loses all "
          "that start at zero), and they are the ones that train on (there new ones are drawn: "
          "`ablation reinit`)",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options = {scoring_mode_option(),
                  allocation_option({"global", "uniform", "uniform-dense-first", "er", "erk"})},
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = snip_score(scoring_mode(options));
            recipe.allocation = make_allocation(options.text("allocation"));
            recipe.schedule = one_shot_schedule();
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
