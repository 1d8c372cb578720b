// SPDX-License-Identifier: Apache-2.0
/// ExactOBS: the optimal brain surgeon on every row of a layer, exactly.
///
/// Source: Frantar, Singh, Alistarh, "Optimal brain compression", arXiv 2208.11580, and the
/// authors' code; see curvature/surgery.h. Arithmetic is float64. What the published code does
/// next, a choice among layers of several sparsities by a search, is not here.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct ExactObs {
  int64_t batches = 4;
  double damping = 0.01;
  int64_t norm_batches = 50;
};

}  // namespace

Method exact_obs() {
  return make_method<ExactObs>(
      {.name = "exact-obs",
       .title = "ExactOBS: the brain surgeon on layers' outputs",
       .paper = "Frantar, Singh, Alistarh, arXiv 2208.11580",
       .year = 2022,
       .idea = "What a layer's outputs lose is a quadratic form of each row by itself, with one "
               "Hessian for all rows: small enough to remove weight by weight, always the one that "
               "costs least, while all others of the row make up for it.",
       .formula =
           "H = 2/N X X^T + damping; in a row, s_q = w_q^2 / (2 [H^-1]_qq), the lowest goes, "
           "w -= w_q / [H^-1]_qq H^-1 e_q, H^-1 -= H^-1 e_q e_q^T H^-1 / [H^-1]_qq, and "
           "again; of the removals of all rows the cheapest are made, as many as the layer "
           "loses; or in every row as long as a cell has more than N of M",
       .schedule = "start from trained weights; one update before training, layer by layer on the "
                   "inputs that the pruned layers before give; with --epochs 0 that is all",
       .differs = "H is damped as SparseGPT's (published code: only where it can't be inverted). "
                  "Inputs are of the network pruned so far (published: of the dense one). A layer "
                  "loses S n rounded to the nearest (published: up). Layers are as sparse as each "
                  "other (`layer-sparsity` gives others; published: also a search)",
       .use_when = "No training is to follow and minutes of computation are there: every row "
                   "makes up for each weight that goes.",
       .not_when = "The layers are wide: every row costs a search over all of its weights.",
       .patterns = {"unstructured", "2:4"}},
      {calibration_option(&ExactObs::batches),
       {&ExactObs::damping, "damping", {0, 1e6}, "of its mean", "added to H's diagonal"},
       {&ExactObs::norm_batches,
        "norm-batches",
        {0, 1'000'000},
        "",
        "batches of training on which batch norm's statistics are measured again afterwards, where "
        "there is any and something was removed; 0: they stay those of the dense network"}},
      [](const ExactObs& o, const PruneSettings&) -> Timeline {
        return {
            .events = {at(
                one_shot_schedule(),
                mask_update({.allocation = uniform_allocation(),
                             .repair = greedy_surgery({.batches = o.batches, .damping = o.damping}),
                             .norm_batches = o.norm_batches}))},
            .refused = no_ablation("its weights are made for its mask")};
      });
}

}  // namespace espalier::prune::method_list
