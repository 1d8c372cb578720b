// SPDX-License-Identifier: Apache-2.0
/// Wanda: pruning a trained network by weights and activations, without training.
///
/// Source: Sun, Liu, Bair, Kolter, arXiv 2306.11695. A block's layers are scored on the inputs that
/// they have while the block is whole; then it runs pruned to feed the next.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Wanda {
  int64_t batches = 4;
};

}  // namespace

Method wanda() {
  return make_method<Wanda>(
      {.name = "wanda",
       .title = "Wanda: pruning by weights and activations",
       .paper = "Sun, Liu, Bair, Kolter, arXiv 2306.11695",
       .year = 2023,
       .idea = "A small weight on a large input does more than a larger one on a small input: "
               "weigh each weight by its input, and compare it with those of the same output.",
       .formula = "s_ij = |w_ij| * ||x_j||_2 over the calibration data; every row loses the "
                  "fraction S with the lowest scores, or N of M neighbours stay",
       .schedule = "start from trained weights; one update before training, block by block; with "
                   "--epochs 0 that is all",
       .differs = "the number removed in a row is rounded to the nearest (published: down), and a "
                  "target met to one weight of each row; batch norm, which its language models "
                  "don't have, keeps the statistics of the dense network",
       .use_when = "A trained network, a transformer above all, must be pruned without training "
                   "and without labels.",
       .not_when = "Layers need different shares, as in convolutional networks at 90 %: each "
                   "loses the same.",
       .patterns = {"unstructured", "2:4"}},
      {calibration_option(&Wanda::batches)},
      [](const Wanda& o, const PruneSettings&) -> Timeline {
        return {{at(one_shot_schedule(),
                    mask_update({.score = wanda_score(o.batches),
                                 .allocation = uniform_allocation(),
                                 .compete_in_rows = true,
                                 .stages = Stage::Block}))}};
      });
}

}  // namespace espalier::prune::method_list
