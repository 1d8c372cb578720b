// SPDX-License-Identifier: Apache-2.0
/// Network Slimming: an l1 penalty on batch norm's scales makes them say which channels matter.
///
/// Source: Liu, Li, Shen, Huang, Yan, Zhang, arXiv 1708.06519. Scales that are all 1 start at 0.5,
/// as there. In the paper's pre-activation networks a block selects the channels that it reads. A
/// schedule that starts again is a run with `prune-at` 1, and a second `train --weights` of its
/// result. Like the published code, no layer is emptied.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune::method_list {
namespace {

struct Slimming {
  double strength = 1e-4;
  double initial_scale = 0.5;
  double prune_at = 0.5;
  bool published_threshold = false;
};

}  // namespace

Method network_slimming() {
  return make_method<Slimming>(
      {.name = "network-slimming",
       .title = "Network Slimming",
       .paper = "Liu, Li, Shen, Huang, Yan, Zhang, arXiv 1708.06519",
       .year = 2017,
       .when = When::During,
       .how = How::Learning,
       .idea = "Batch norm scales every channel anyway: train with an l1 penalty on the scales, "
               "and remove the channels whose scale it brought near zero.",
       .formula = "loss + s * sum |gamma| over all batch norms; then the fraction S of the "
                  "channels that can go (of channels, not of weights) with the lowest |gamma| "
                  "goes, over all layers together",
       .schedule = "penalty until `prune-at`, one update there, then fine-tuning without it under "
                   "the same learning-rate schedule; then shrink",
       .differs = "the number of channels is exact (published: the one on the threshold goes too, "
                  "`published-threshold`); channels of residual sums stay; one learning-rate "
                  "schedule spans penalty and fine-tuning (published: it starts again)",
       .use_when = "No sparse kernels are there, batch norm follows the convolutions, and layers "
                   "may differ in width.",
       .not_when = "There is no batch norm, or the first training is over and can't be repeated "
                   "with a penalty.",
       .patterns = {"channel"}},
      {{&Slimming::strength, "strength", {0, 10}, "", "s, relative to the batch's mean loss"},
       {&Slimming::initial_scale, "initial-scale", {0, 10}, "", "of scales that are still all 1"},
       prune_at_option(&Slimming::prune_at),
       {&Slimming::published_threshold,
        "published-threshold",
        "the channel on the threshold goes too"}},
      [](const Slimming& o, const PruneSettings&) -> Timeline {
        return {.events = {during(0.0, o.prune_at, norm_scale_penalty(o.strength, o.initial_scale)),
                           at(one_shot_schedule(o.prune_at),
                              mask_update({.score = norm_scale_score(),
                                           .allocation = global_units_allocation(
                                               o.published_threshold ? GlobalCount::Threshold
                                                                     : GlobalCount::Exact),
                                           .sites = {.single_producer_only = true,
                                                     .refusal = without_norm_scale},
                                           .min_per_layer = 1}))},
                .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
