// SPDX-License-Identifier: Apache-2.0
/// Wanda: pruning a trained network by weights and activations, without training.
///
/// Source: Sun, Liu, Bair, Kolter, "A simple and effective pruning approach for large language
/// models", arXiv 2306.11695. A block's layers are scored on the inputs that they have while the
/// block is whole; then it runs pruned to feed the next. The number removed in a row is rounded to
/// the nearest, as all counts are here (the published code rounds down). Statistics of batch norm,
/// which its language models don't have, stay those of the dense network.
#include <espalier/prune/calibration/layer_inputs.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {

Method wanda() {
  return {
      .name = "wanda",
      .title = "Wanda: pruning by weights and activations",
      .paper = "Sun, Liu, Bair, Kolter, arXiv 2306.11695",
      .year = 2023,
      .speedup = Speedup::Unstructured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = true,
      .global = false,
      .data_free = false,
      .idea =
          "A small weight on a large input does more than a larger one on a small input: weigh "
          "each "
          "weight by its input, and compare it with those of the same output.",
      .formula =
          "s_ij = |w_ij| * ||x_j||_2 over the calibration data; every row loses the fraction S "
          "with "
          "the lowest scores, or N of M neighbours stay",
      .schedule =
          "start from trained weights; one update before training, block by block; with --epochs 0 "
          "that is all",
      .differs =
          "the number removed in a row is rounded to the nearest (published: down); batch norm, "
          "which its language models don't have, keeps the statistics of the dense network",
      .patterns = {"unstructured", "2:4"},
      .options = {calibration_option()},
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = wanda_score(options.integer("batches"));
            recipe.allocation = uniform_allocation();
            recipe.schedule = one_shot_schedule();
            recipe.compete_in_rows = true;
            recipe.stages = Stage::Block;
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
