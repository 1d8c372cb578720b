// SPDX-License-Identifier: Apache-2.0
/// WoodFisher: second-order pruning with the inverse of an empirical Fisher matrix of blocks.
///
/// Source: Singh, Alistarh, arXiv 2004.14340, and the authors' code; see
/// curvature/linalg/inverse_fisher.h for the inverse by Woodbury's identity. OBS (obs.cpp) removes
/// weights one after another; here all go by scores and updates that are of each weight alone. The
/// published commands for ResNet-50 take 400 gradients, each of 400 samples' mean loss, blocks of
/// 2000, damping 1e-5, and 0.9 of the update.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct WoodFisher {
  int64_t gradients = 400;
  int64_t samples = 1;
  int64_t block = 128;
  double damping = 1e-3;
  ScoringMode mode = ScoringMode::Eval;
  int64_t rounds = 1;
  double until = 1.0;
  std::string allocation = "global";
};

}  // namespace

Method woodfisher() {
  return make_method<WoodFisher>(
      {.name = "woodfisher",
       .title = "WoodFisher: second order by the empirical Fisher matrix",
       .paper = "Singh, Alistarh, arXiv 2004.14340",
       .year = 2020,
       .idea = "Gradients of samples make up the curvature, and Woodbury's identity its inverse, "
               "without ever inverting: of a whole network, block by block.",
       .formula = "F = damping I + 1/N sum g g^T, F^-1 -= u u^T / (N + g^T u) with u = F^-1 g for "
                  "every g; L_q = w_q^2 / (2 [F^-1]_qq), the lowest go; w -= sum over these of w_q "
                  "/ [F^-1]_qq F^-1 e_q",
       .schedule = "start from trained weights; one update before fine-tuning, or `rounds` updates "
                   "spread evenly over it, each with a Fisher matrix of its own",
       .differs = "blocks have 128 weights, for 1 kilobyte of memory a weight (published: 2000 and "
                  "more; `block`); gradients are of one sample each (published for ResNet-50: of "
                  "400; `samples`); the update is whole (published there: 0.9 of it); damping is "
                  "1e-3 (published: 1e-5, with which a published ResNet-20 has a test loss of 2.7 "
                  "instead of 1.8 at 80 %)",
       .use_when = "A trained network must lose weights with little training, and gradients of "
                   "samples can be paid for.",
       .not_when = "There are no labels, or memory is short: blocks of the inverse are kept.",
       .patterns = {"unstructured"}},
      {{&WoodFisher::gradients,
        "gradients",
        {1, 1'000'000},
        "",
        "N, which make up F; each costs a backward pass"},
       {&WoodFisher::samples,
        "samples",
        {1, 1'000'000},
        "",
        "whose mean loss a gradient is of; at most a batch"},
       {&WoodFisher::block,
        "block",
        {1, 100'000},
        "weights",
        "neighbours that know of each other; memory is 8 bytes times this for every weight"},
       {&WoodFisher::damping, "damping", {1e-12, 1e6}, "", "added to the diagonal of F"},
       scoring_mode_option(&WoodFisher::mode),
       rounds_option(&WoodFisher::rounds),
       until_option(&WoodFisher::until),
       allocation_option(&WoodFisher::allocation, weight_allocations())},
      [](const WoodFisher& o, const PruneSettings&) -> Timeline {
        const auto fisher = std::make_shared<FisherBlocks>(FisherBlockOptions{
            .data = {.gradients = o.gradients, .samples = o.samples, .mode = o.mode},
            .block = o.block,
            .damping = o.damping});
        return {{at(iterative_schedule(o.rounds, o.until),
                    mask_update({.score = surgeon_score(fisher, Removal::Alone),
                                 .allocation = make_allocation(o.allocation),
                                 .repair = surgeon_repair(fisher, Removal::Alone)}))}};
      });
}

}  // namespace espalier::prune::method_list
