// SPDX-License-Identifier: Apache-2.0
/// Pruning from scratch: the widths of layers are learnt by gates on random weights, and then a
/// network of these widths is trained from new ones.
///
/// Source: Wang, Zhang, Xie, Zhou, Su, Zhang, Hu, "Pruning from scratch", arXiv 1909.12579, and its
/// published code. There gates multiply batch norm's output and stand before the ReLU; with frozen
/// shifts of zero that is a batch norm's scale, which is what is trained here. Gates are learnt for
/// 10 epochs, and the network for 160 afterwards: `prune-at` is 10/170. The published search begins
/// from a network that is wider than the one whose cost is the target; here that is the caller's: a
/// wide model and a target of its own cost.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune::method_list {
namespace {

struct FromScratch {
  double strength = 0.5;
  double share = 0.2;
  double rate = 0.01;
  double prune_at = 10.0 / 170.0;
};

}  // namespace

Method pruning_from_scratch() {
  return make_method<FromScratch>(
      {.name = "pruning-from-scratch",
       .title = "Pruning from scratch",
       .paper = "Wang et al., arXiv 1909.12579",
       .year = 2020,
       .when = When::Before,
       .how = How::Learning,
       .idea = "What pruning finds are the layers' widths, not weights, and random weights are "
               "enough to find them: learn gates on channels of a random network, keep the widths, "
               "and train from new weights.",
       .formula =
           "out = relu(g BN(conv(x))), g from 1 in 0 .. 1; loss + lambda (mean g - r)^2, the "
           "mean over all gates; the fraction S of the channels that can go with the lowest "
           "g goes, over all layers together",
       .schedule = "gates alone are trained until `prune-at`; one update there; all weights are "
                   "drawn anew, gates are gone, and training goes on; then shrink",
       .differs = "the newest gates count (published: those of the best validation accuracy whose "
                  "share is small enough); a target in MACs is met to one channel by the budget's "
                  "search (published: at most ten bisections of the fraction, up to rounding half "
                  "to even); every layer keeps a channel (published: nothing guards it); one "
                  "learning-rate schedule spans both parts",
       .use_when = "Only the widths are wanted, and no trained network is there to find them.",
       .not_when = "A trained network is there: its weights are thrown away.",
       .patterns = {"channel"}},
      {{&FromScratch::strength, "lambda", {0, 1e9}, "", "strength of the penalty"},
       {&FromScratch::share,
        "gate-share",
        {0, 1},
        "",
        "r, which the mean of the gates is drawn to"},
       {&FromScratch::rate, "gate-lr", {0, 10}, "", "of the gates' Adam"},
       prune_at_option(&FromScratch::prune_at)},
      [](const FromScratch& o, const PruneSettings&) -> Timeline {
        return {
            .events = {during(
                           0.0,
                           o.prune_at,
                           scale_gates({.strength = o.strength, .share = o.share, .rate = o.rate})),
                       at(one_shot_schedule(o.prune_at),
                          mask_update({.score = norm_scale_score(),
                                       .allocation = global_units_allocation(GlobalCount::Exact),
                                       .sites = {.single_producer_only = true,
                                                 .refusal = without_norm_scale},
                                       .min_per_layer = 1})),
                       during(o.prune_at, o.prune_at, set_weights(draw_afresh))},
            .refused = {{Ablation::Reinit, "it draws all weights anew itself"}}};
      });
}

}  // namespace espalier::prune::method_list
