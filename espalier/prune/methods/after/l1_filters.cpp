// SPDX-License-Identifier: Apache-2.0
/// L1-norm filter pruning: whole filters with their batch norm and the next layer's inputs, so that
/// shrinking the network afterwards changes nothing.
///
/// Source: Li, Kadav, Durdanovic, Samet, Graf, "Pruning filters for efficient ConvNets", arXiv
/// 1608.08710. As there, channels that a residual sum ties to other layers stay: in basic blocks
/// only the first convolution is pruned. All input channels count in the norm (the paper's
/// "independent" pruning).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method l1_filters() {
  return {
      .name = "l1-filters",
      .title = "L1-norm filter pruning",
      .paper = "Li, Kadav, Durdanovic, Samet, Graf, arXiv 1608.08710",
      .year = 2017,
      .speedup = Speedup::Structured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = true,
      .global = false,
      .data_free = true,
      .idea =
          "A filter with small weights makes a weak feature map: remove the filter, its batch "
          "norm, "
          "and the next layer's input channel.",
      .formula =
          "s_j = sum of |w| over filter j; every layer loses the fraction S of its filters (of "
          "filters, not of weights) with the lowest s_j",
      .schedule =
          "start from trained weights; one update before fine-tuning, or `rounds` updates spread "
          "evenly over it; then shrink",
      .differs =
          "channels that a residual sum ties together stay, as published; of the paper's two "
          "ways to count, the norm is over all input channels (independent)",
      .patterns = {"channel"},
      .options =
          {
              integer_option("rounds", 1, 1, 1000, "", "updates; 1 is one-shot, more is iterative"),
              text_option("layer-sparsity",
                          "",
                          "sparsities by layer, NAME=S,NAME=S,.., which replace the common one"),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = magnitude_score();
            recipe.allocation = hand_set_allocation(options.text("layer-sparsity"));
            recipe.schedule = iterative_schedule(options.integer("rounds"), 1.0);
            recipe.single_producer_only = true;
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
