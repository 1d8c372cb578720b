// SPDX-License-Identifier: Apache-2.0
/// SparseGPT: pruning a trained network in one pass over its layers, with reconstruction.
///
/// Source: Frantar, Alistarh, arXiv 2301.00774; see repair/layer_surgery.cpp. Arithmetic is
/// float64. Columns of a convolution are its unfolded inputs, tap by tap. A layer that loses
/// nothing stays as it is (there, weights of inputs that are always zero are cleared all the same).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct SparseGpt {
  int64_t batches = 4;
  double damping = 0.01;
  int64_t block = 128;
  int64_t norm_batches = 50;
};

}  // namespace

Method sparsegpt() {
  return make_method<SparseGpt>(
      {.name = "sparsegpt",
       .title = "SparseGPT: one-shot pruning with reconstruction",
       .paper = "Frantar, Alistarh, arXiv 2301.00774",
       .year = 2023,
       .idea = "Remove the weights of a layer column by column, and let the columns still to come "
               "make up for what each removal does to the layer's outputs.",
       .formula = "H = 2/N X X^T + damping, H^-1 = U^T U; s_ij = w_ij^2 / U_ii^2; after a removal "
                  "w_i,j.. -= w_ij / U_jj * U_j,j..; the fraction S with the lowest scores of "
                  "every block of columns goes, or N of M neighbours stay",
       .schedule = "start from trained weights; one update before training, layer by layer on the "
                   "inputs that the pruned layers before give; with --epochs 0 that is all",
       .differs = "exactly S n weights of a layer go; the published code removes every score up to "
                  "the one at place S n of a block of columns, one weight more. Layers follow each "
                  "other one by one (published: block by block), and batch norm, which the paper's "
                  "networks don't have, is measured again",
       .use_when = "A trained network must lose half of its weights or go to 2:4 without training "
                   "and without labels.",
       .not_when = "Layers need different shares, as in convolutional networks at 90 %: each "
                   "loses the same.",
       .patterns = {"unstructured", "2:4"}},
      {calibration_option(&SparseGpt::batches),
       {&SparseGpt::damping, "damping", {0, 1e6}, "of its mean", "added to H's diagonal"},
       {&SparseGpt::block, "block", {1, 1'000'000}, "columns", "masks chosen at a time"},
       {&SparseGpt::norm_batches,
        "norm-batches",
        {0, 1'000'000},
        "",
        "batches of training on which batch norm's statistics are measured again afterwards, where "
        "there is any and something was removed; 0: they stay those of the dense network"}},
      [](const SparseGpt& o, const PruneSettings&) -> Timeline {
        return {
            .events = {at(
                one_shot_schedule(),
                mask_update({.allocation = uniform_allocation(),
                             .repair = column_surgery(
                                 {.batches = o.batches, .damping = o.damping, .block = o.block}),
                             .norm_batches = o.norm_batches}))},
            .refused = no_ablation("its weights are made for its mask")};
      });
}

}  // namespace espalier::prune::method_list
