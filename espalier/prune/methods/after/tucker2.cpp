// SPDX-License-Identifier: Apache-2.0
/// Tucker-2: convolutions as three small ones, linear layers as two.
///
/// Source: Kim, Park, Yoo, Choi, Yang, Shin, arXiv 1511.06530. The form is nn/forms/low_rank.h: the
/// layer runs the factors, a plan too, and what is counted are theirs. The first convolution and
/// 1x1 ones stay whole.
#include <espalier/prune/actions/low_rank.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct TuckerOptions {
  RankRule ranks = RankRule::Sparsity;
  double energy = 0.9;
  int64_t iterations = 3;
};

}  // namespace

Method tucker2() {
  return make_method<TuckerOptions>(
      {.name = "tucker2",
       .title = "Tucker-2: low rank by a core and two factors",
       .paper = "Kim, Park, Yoo, Choi, Yang, Shin, arXiv 1511.06530",
       .year = 2016,
       .how = How::Fusion,
       .idea = "The channels of a kernel repeat each other: mix the inputs to fewer channels, "
               "convolve those, and mix the result back to all outputs.",
       .formula =
           "K[t,s] = sum_rq U[t,r] G[r,q] V[q,s]: 1x1 from S to Q channels, h x w from Q to "
           "R, 1x1 from R to T; U and V the leading left singular vectors of the "
           "unfoldings, refined in turns (HOOI), G = K x_T U^T x_S V^T; linear layers by SVD",
       .schedule = "start from trained weights; cut before the first step, then fine-tuning of the "
                   "factors, best at a low rate at first. No weight is removed: S is the share of "
                   "a layer's numbers that its factors save, or the same for all layers so that a "
                   "target is met, to one rank; the trained weight stays in the file, at rest",
       .differs = "ranks are those that fit into 1 - S of a layer's numbers, in proportion to its "
                  "inputs and outputs, or those of an energy (published: variational Bayes)",
       .use_when = "Wide 3x3 convolutions must run faster on any engine, with few numbers.",
       .not_when = "Kernels are 1x1 or layers thin: three products then cost more than one.",
       .patterns = {"filter"}},
      {{&TuckerOptions::ranks,
        "ranks",
        {"sparsity", "energy"},
        "what says how many ranks a layer has"},
       OptionEntry<TuckerOptions>(&TuckerOptions::energy,
                                  "energy",
                                  {0.01, 1},
                                  "share of the squares",
                                  "that the ranks of either side hold")
           .needing("ranks", {"energy"}),
       {&TuckerOptions::iterations, "iterations", {0, 1000}, "", "of HOOI; 0: HOSVD alone"}},
      [](const TuckerOptions& o, const PruneSettings&) -> Timeline {
        const auto cut = cut_into_factors({.split = nn::LowRank::Split::Tucker2,
                                           .rule = o.ranks,
                                           .energy = o.energy,
                                           .iterations = o.iterations});
        return {.events = {during(0.0, 1.0, cut), at(one_shot_schedule(), cut)},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
