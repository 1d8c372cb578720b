// SPDX-License-Identifier: Apache-2.0
/// OBS: the optimal brain surgeon.
///
/// Source: Hassibi, Stork, "Second order derivatives for network pruning: optimal brain surgeon",
/// NeurIPS 1992; see curvature/linalg/surgeon.h and curvature/block_fisher.h.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Obs {
  int64_t gradients = 256;
  int64_t block = 64;
  double damping = 1e-5;
  ScoringMode mode = ScoringMode::Eval;
  int64_t rounds = 1;
  double until = 1.0;
  std::string allocation = "global";
};

}  // namespace

Method obs() {
  return make_method<Obs>(
      {.name = "obs",
       .title = "OBS: optimal brain surgeon",
       .paper = "Hassibi, Stork, NeurIPS 1992",
       .year = 1993,
       .idea = "At a minimum the second derivatives of the loss tell which weight costs least to "
               "remove, and how all others must move to make up for it.",
       .formula = "L_q = w_q^2 / (2 [H^-1]_qq); the weight with the lowest L_q goes, w -= w_q / "
                  "[H^-1]_qq H^-1 e_q, H^-1 loses row and column q, and again; H = damping I + 1/N "
                  "sum g g^T",
       .schedule = "start from trained weights; one update before fine-tuning, or `rounds` updates "
                   "spread evenly over it, each with an H of its own",
       .differs = "H has blocks of `block` neighbours (published: one matrix for a network of some "
                  "hundred weights; a `block` as large as a layer gives one for each layer). All "
                  "weights of an update go by one H, found before the first of them",
       .use_when = "A trained network must lose weights with little or no training, and gradients "
                   "of samples can be paid for.",
       .not_when = "There are no labels, or the network is large: blocks of second derivatives "
                   "take much memory.",
       .patterns = {"unstructured"}},
      {{&Obs::gradients,
        "gradients",
        {1, 1'000'000},
        "samples",
        "N, whose gradients make up H; each costs a backward pass"},
       {&Obs::block,
        "block",
        {1, 100'000},
        "weights",
        "neighbours that know of each other; memory is 8 bytes times this for every weight"},
       {&Obs::damping, "damping", {1e-12, 1e6}, "", "added to the diagonal of H"},
       scoring_mode_option(&Obs::mode),
       rounds_option(&Obs::rounds),
       until_option(&Obs::until),
       allocation_option(&Obs::allocation, weight_allocations())},
      [](const Obs& o, const PruneSettings&) -> Timeline {
        const auto fisher = std::make_shared<FisherBlocks>(
            FisherBlockOptions{.data = {.gradients = o.gradients, .mode = o.mode},
                               .block = o.block,
                               .damping = o.damping});
        return {{at(iterative_schedule(o.rounds, o.until),
                    mask_update({.score = surgeon_score(fisher),
                                 .allocation = make_allocation(o.allocation),
                                 .repair = surgeon_repair(fisher)}))}};
      });
}

}  // namespace espalier::prune::method_list
