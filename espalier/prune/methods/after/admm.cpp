// SPDX-License-Identifier: Apache-2.0
/// ADMM pruning: the constraint that weights be sparse, met little by little while training.
///
/// Source: Zhang, Ye, Zhang, Tang, Wen, Fardad, Wang, "A systematic DNN weight pruning framework
/// using alternating direction method of multipliers", arXiv 1804.03294, and its published code,
/// whose rho is constant: 1e-4 in 30 outer iterations of 5000 steps for LeNet-5, 1.5e-3 in 40 for
/// AlexNet. Here the number of iterations is an option and their length follows from `prune-at`,
/// because schedules are functions of the length of training; fewer of them want a rho that grows
/// (ours).
#include <espalier/prune/actions/admm.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct AdmmPruning {
  int64_t rounds = 12;
  double strength = 1e-4;
  double final_strength = 1e-2;
  double prune_at = 0.5;
  std::string allocation = "uniform";
};

}  // namespace

Method admm() {
  return make_method<AdmmPruning>(
      {.name = "admm",
       .title = "ADMM pruning",
       .paper = "Zhang, Ye, Zhang, Tang, Wen, Fardad, Wang, arXiv 1804.03294",
       .year = 2018,
       .how = How::Learning,
       .idea =
           "Sparse weights are a constraint. Draw the weights to the nearest sparse ones with a "
           "quadratic penalty, look again which these are, and remember in multipliers what the "
           "penalty could not do, until hardly anything is left to cut.",
       .formula = "loss + rho/2 ||W - Z + U||^2; after every outer iteration Z = P(W + U), which "
                  "keeps the largest of |W + U| (or units with the largest sums), and U <- U + W - "
                  "Z; rho U stays when rho grows",
       .schedule = "start from trained weights; `rounds` outer iterations until `prune-at`, one "
                   "update there, then training with the mask",
       .differs =
           "12 outer iterations, with a rho that grows by the same factor at each (published code: "
           "30 or 40 at a constant 1e-4 or 1.5e-3); the training's optimizer is used (published: "
           "Adam at 1e-3); all prunable layers lose the same share (published: shares by hand, "
           "which is `layer-sparsity`); the projection is the one of the pattern",
       .use_when =
           "Single weights, blocks or N:M must go at a high sparsity, and training is long.",
       .not_when = "Training is too short for several outer iterations.",
       .patterns = every_pattern()},
      {{&AdmmPruning::rounds, "rounds", {1, 10'000}, "", "outer iterations"},
       {&AdmmPruning::strength, "strength", {1e-12, 100}, "", "rho of the first iteration"},
       {&AdmmPruning::final_strength, "final-strength", {1e-12, 100}, "", "rho of the last"},
       prune_at_option(&AdmmPruning::prune_at),
       allocation_option(&AdmmPruning::allocation, weight_allocations())},
      [](const AdmmPruning& o, const PruneSettings& settings) -> Timeline {
        const auto update =
            mask_update({.score = magnitude_score(), .allocation = make_allocation(o.allocation)});
        const auto action = prune::admm({.until = o.prune_at,
                                         .rounds = o.rounds,
                                         .strength = o.strength,
                                         .final_strength = o.final_strength},
                                        {left_by(update, settings.final())},
                                        update);
        return {
            .events = {during(0.0, o.prune_at, action), at(one_shot_schedule(o.prune_at), action)},
            .refused = no_ablation("weights are drawn to what stays long before the rest goes")};
      });
}

}  // namespace espalier::prune::method_list
