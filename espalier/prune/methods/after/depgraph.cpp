// SPDX-License-Identifier: Apache-2.0
/// DepGraph: channel groups by the norms of all their members, which a decay has made sparse.
///
/// Source: Fang, Ma, Song, Bi Mi, Wang, arXiv 2301.12900, and the authors' code; ranking by kinds:
/// Fang, Ma, Bi Mi, Wang, arXiv 2407.04616. The graph of what goes together is structure/'s.
#include <espalier/prune/actions/group_decay.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/group_importance.h>

namespace espalier::prune::method_list {
namespace {

struct DepGraph {
  double strength = 5e-4;
  double alpha = 4.0;
  double prune_at = 0.5;
  int64_t rounds = 20;
  GroupNormalizer normalizer = GroupNormalizer::Mean;
  std::string allocation = "global";
};

}  // namespace

Method depgraph() {
  return make_method<DepGraph>(
      {.name = "depgraph",
       .title = "DepGraph: group norms of coupled channels",
       .paper = "Fang, Ma, Song, Bi Mi, Wang, arXiv 2301.12900",
       .year = 2023,
       .how = How::Learning,
       .idea = "What must go together is a group, whatever the network looks like, and should be "
               "made small together: decay all members of a channel, weak channels more, then "
               "remove the channels whose members are small as a whole.",
       .formula = "I_k = mean over the members of a group of sum w[k]^2, divided by its mean over "
                  "the group; while training, s 2^(alpha (max - sqrt I_k) / (max - min)) w[k] is "
                  "added to the gradients of all members",
       .schedule = "start from trained weights; decay until `prune-at` (strength 0: none), there "
                   "`rounds` updates without training between them, then fine-tuning; then shrink",
       .differs = "the sparsity is of all weights, counted once (published: steps until a speed-up "
                  "is reached, which is `target macs=`; with allocation isomorphic the share is of "
                  "channels, as published); 20 rounds (published: up to 400); numbers are exact "
                  "(published: all up to a threshold, so ties go together); importances are "
                  "divided by their group's mean (its recipe for CIFAR: by the largest, "
                  "`normalizer max`); weight decay is the training's own (published: none in the "
                  "sparse phase); one learning-rate schedule spans both phases",
       .use_when = "Any network with coupled channels must become smaller, and may train under a "
                   "decay first.",
       .not_when =
           "There is no time for sparse training and fine-tuning, or single weights are to go.",
       .patterns = {"channel"}},
      {{&DepGraph::strength, "strength", {0, 10}, "", "s, of the decay; 0: no sparse training"},
       OptionEntry<DepGraph>(&DepGraph::alpha,
                             "alpha",
                             {0, 30},
                             "",
                             "the weakest channel of a group decays 2^alpha times as fast"),
       prune_at_option(&DepGraph::prune_at),
       rounds_option(&DepGraph::rounds),
       {&DepGraph::normalizer,
        "normalizer",
        {"mean", "max", "none"},
        "what importances of a group are divided by"},
       allocation_option(&DepGraph::allocation, {"global", "isomorphic", "uniform"})},
      [](const DepGraph& o, const PruneSettings&) -> Timeline {
        return {
            .events =
                {during(0.0, o.prune_at, group_decay({.strength = o.strength, .alpha = o.alpha})),
                 at(between_schedule({.begin = o.prune_at, .end = o.prune_at, .rounds = o.rounds}),
                    mask_update({.score = group_importance_score(o.normalizer),
                                 .allocation = make_allocation(o.allocation),
                                 .min_per_layer = 1}))},
            .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
