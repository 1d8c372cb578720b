// SPDX-License-Identifier: Apache-2.0
/// Early-Bird tickets: the mask of channels settles early, so it is drawn early.
///
/// Source: You, Li, Xu, Fu, Wang, Chen, Baraniuk, Wang, Lin, arXiv 1909.11957, and its published
/// code. The search in low precision is left out.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune::method_list {
namespace {

struct EarlyBird {
  double strength = 1e-4;
  double initial_scale = 0.5;
  int64_t looks = 5;
  double distance = 0.1;
};

}  // namespace

Method early_bird() {
  return make_method<EarlyBird>(
      {.name = "early-bird",
       .title = "Early-Bird tickets",
       .paper = "You, Li, Xu, Fu, Wang, Chen, Baraniuk, Wang, Lin, arXiv 1909.11957",
       .year = 2020,
       .when = When::During,
       .how = How::Learning,
       .idea = "Which channels will be pruned is settled long before the network is trained: watch "
               "the mask from epoch to epoch, draw it as soon as it hardly changes, and train only "
               "the small network on.",
       .formula = "loss + s * sum |gamma| over all batch norms; the mask of an epoch removes the "
                  "fraction S of the channels with the lowest |gamma|; drawn when the newest of "
                  "`looks` masks differs from each of the others in at most the fraction "
                  "`distance` of the channels",
       .schedule =
           "a look before every epoch; after the draw training goes on from the weights of "
           "that moment, with the penalty; then shrink. A mask that never settles is drawn "
           "before the last epoch, with a note; so is one that settles when the learning rate "
           "has fallen below half of what it was",
       .differs = "the number of channels is exact (published: the one on the threshold goes too, "
                  "and where all scales are equal, as before training, all go); channels of "
                  "residual sums stay. No 8-bit search",
       .use_when = "A small dense network is wanted, and the search for it should cost a few "
                   "epochs alone.",
       .not_when = "The training is short: masks must have the time to settle.",
       .patterns = {"channel"}},
      {{&EarlyBird::strength, "strength", {0, 10}, "", "s, relative to the batch's mean loss"},
       {&EarlyBird::initial_scale, "initial-scale", {0, 10}, "", "of scales that are still all 1"},
       {&EarlyBird::looks, "looks", {2, 1000}, "epochs", "masks that are compared"},
       {&EarlyBird::distance, "distance", {0, 1}, "of the channels", "in which they may differ"}},
      [](const EarlyBird& o, const PruneSettings&) -> Timeline {
        return {.events = {during(0.0, 1.0, norm_scale_penalty(o.strength, o.initial_scale)),
                           at(epochs_schedule(Epochs::BeforeTheLast),
                              draw_when_settled({.score = norm_scale_score(),
                                                 .allocation = global_units_allocation(),
                                                 .sites = {.single_producer_only = true,
                                                           .refusal = without_norm_scale},
                                                 .min_per_layer = 1},
                                                {.looks = o.looks, .distance = o.distance}))},
                .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
