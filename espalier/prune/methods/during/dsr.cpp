// SPDX-License-Identifier: Apache-2.0
/// DSR: dynamic sparse reparameterization.
///
/// Source: Mostafa, Wang, arXiv 1902.05967, algorithm 1, and its published code, whose settings for
/// WRN-28-2 are the defaults: updates every 100 steps, half as often from the epochs 25, 80 and 140
/// of 200 on, none from 190 on. There 20000 of 1.47 million weights are to die in an update, which
/// at its sparsity of 0.9 is `pruned`; a number would fit one network.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Dsr {
  double pruned = 0.136;
  double first_threshold = 1e-3;
  int64_t frequency = 100;
  double end = 0.95;
  bool equally_often = false;
  std::string allocation = "uniform";
};

}  // namespace

Method dsr() {
  return make_method<Dsr>(
      {.name = "dsr",
       .title = "DSR: dynamic sparse reparameterization",
       .paper = "Mostafa, Wang, arXiv 1902.05967",
       .year = 2019,
       .when = When::During,
       .idea = "One threshold for all layers says which weights die, and follows their number; the "
               "layers that keep more of theirs get more of those that grow.",
       .formula = "all |w| < H go, K of them; H / 2 if K > 1.1 N, 2 H if K < 0.9 N, N the fraction "
                  "`pruned` of all weights; a layer regrows the share survivors / all survivors of "
                  "K, uniformly at random, from zero",
       .schedule = "a random mask before training; an update every `frequency` steps, half as "
                   "often from 0.125, 0.4 and 0.7 of the training on, until `end`",
       .differs = "shares are rounded so that they sum to K (published: the error goes to a random "
                  "layer), and the number of weights in total is exact. First convolution and "
                  "classifier are pruned too (published for WRN-28-2: dense, `exclude`)",
       .use_when = "Training must be sparse, and how layers share the weights should be found "
                   "while it goes on.",
       .not_when = "Speed by structure is wanted: the layers' numbers move, and single weights "
                   "go.",
       .patterns = {"unstructured"}},
      {{&Dsr::pruned, "pruned", {1e-6, 1}, "of the kept weights", "N, to die in an update"},
       {&Dsr::first_threshold, "first-threshold", {1e-12, 1e6}, "", "H at first"},
       {&Dsr::frequency, "frequency", {1, 1'000'000}, "steps", "distance of updates at first"},
       {&Dsr::end, "end", {0, 1}, "fraction of training", "no update from here on"},
       {&Dsr::equally_often, "equally-often", "the distance of updates stays"},
       allocation_option(&Dsr::allocation, {"uniform", "uniform-dense-first", "er", "erk"})},
      [](const Dsr& o, const PruneSettings&) -> Timeline {
        DynamicOptions updates{
            .frequency = o.frequency, .end = o.end, .fraction = 0.0, .at_first_step = false};
        if (!o.equally_often) updates.rarer_from = {0.125, 0.4, 0.7};
        return {.events = {at(one_shot_schedule(),
                              mask_update({.score = random_score(),
                                           .allocation = make_allocation(o.allocation)})),
                           at(dynamic_schedule(updates),
                              mask_update(
                                  {.score = adaptive_threshold_score(o.pruned, o.first_threshold),
                                   .allocation = threshold_allocation(0.0),
                                   .growth = random_growth(),
                                   .growth_allocation = regrowth_allocation(GrowthShare::Survivors),
                                   .min_per_layer = 1}))},
                .refused = {{Ablation::Invert, "weights die by a threshold, not by a rank"}}};
      });
}

}  // namespace espalier::prune::method_list
