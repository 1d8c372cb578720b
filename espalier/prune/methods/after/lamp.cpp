// SPDX-License-Identifier: Apache-2.0
/// LAMP: layer-adaptive magnitude pruning.
///
/// Source: Lee, Park, Mo, Ahn, Shin, arXiv 2010.07611; see scores/lamp.cpp. Inside of a layer the
/// order is that of |w|, so the score only says how many each layer keeps.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Lamp {
  int64_t rounds = 1;
  double until = 1.0;
};

}  // namespace

Method lamp() {
  return make_method<Lamp>(
      {.name = "lamp",
       .title = "LAMP: layer-adaptive magnitude pruning",
       .paper = "Lee, Park, Mo, Ahn, Shin, arXiv 2010.07611",
       .year = 2021,
       .idea = "Measure a weight by what it is among the larger ones of its layer: then one "
               "threshold for all layers is fair, whatever their scale, and empties none.",
       .formula = "s_u = w_u^2 / sum of w_v^2 over the weights v of the layer with |w_v| >= |w_u|, "
                  "u among them; the lowest scores of all layers go",
       .schedule = "start from trained weights; one update before fine-tuning, or `rounds` updates "
                   "spread evenly over it, each of which keeps the same fraction",
       .differs = "the paper's rounds remove 20 % of what is left: take as many `rounds` as lead "
                  "to the sparsity so (10 for 0.893). Each is followed by its share of the "
                  "training, not by one of its own",
       .use_when = "As magnitude, where layers differ in scale: it finds each layer's share "
                   "without a setting.",
       .not_when = "No training follows: it does not look at the inputs that a weight has.",
       .patterns = {"unstructured"}},
      {rounds_option(&Lamp::rounds), until_option(&Lamp::until)},
      [](const Lamp& o, const PruneSettings&) -> Timeline {
        return {{at(iterative_schedule(o.rounds, o.until),
                    mask_update({.score = lamp_score(), .allocation = global_allocation()}))}};
      });
}

}  // namespace espalier::prune::method_list
