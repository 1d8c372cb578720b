// SPDX-License-Identifier: Apache-2.0
/// SNIP: single-shot pruning by connection sensitivity.
///
/// Source: Lee, Ajanthan, Torr, arXiv 1810.02340. A mask of biases, which start at zero, has no
/// use, so it is no option.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Snip {
  ScoringMode mode = ScoringMode::Eval;
  std::string allocation = "global";
};

}  // namespace

Method snip() {
  return make_method<Snip>(
      {.name = "snip",
       .title = "SNIP: connection sensitivity",
       .paper = "Lee, Ajanthan, Torr, arXiv 1810.02340",
       .year = 2019,
       .when = When::Before,
       .idea = "Before training, keep the connections whose removal would change the loss most.",
       .formula = "s = |w dL/dw| of one batch, divided by its sum over all weights",
       .schedule = "one update before training, from one batch; then train with the mask fixed",
       .differs = "weights alone are scored (the published code scores biases too, and so loses "
                  "all that start at zero), and they are the ones that train on (there new ones "
                  "are drawn: `ablation reinit`)",
       .use_when = "Pruning must happen once and before training, and a labelled batch is at "
                   "hand.",
       .not_when = "A trained network is there: scored on that, SNIP ended higher in our runs "
                   "(initialized_pretrained.md).",
       .patterns = every_pattern()},
      {scoring_mode_option(&Snip::mode),
       allocation_option(&Snip::allocation, weight_allocations())},
      [](const Snip& o, const PruneSettings&) -> Timeline {
        return {{at(one_shot_schedule(),
                    mask_update({.score = snip_score(o.mode),
                                 .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
