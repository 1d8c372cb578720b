// SPDX-License-Identifier: Apache-2.0
/// SET: sparse evolutionary training.
///
/// Source: Mocanu, Mocanu, Stone, Nguyen, Gibescu, Liotta, arXiv 1707.04780. New weights start at
/// zero. ERK is its rule with the kernel's size in it, the same for linear layers; `er` is the
/// paper's own.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Set {
  double moved_fraction = 0.3;
  int64_t frequency = 0;
  double end = 1.0;
  std::string allocation = "erk";
};

}  // namespace

Method set() {
  return make_method<Set>(
      {.name = "set",
       .title = "SET: sparse evolutionary training",
       .paper = "Mocanu, Mocanu, Stone, Nguyen, Gibescu, Liotta, arXiv 1707.04780",
       .year = 2018,
       .when = When::During,
       .idea = "Train a sparse random network from the start, and again and again replace the "
               "weights nearest to zero by new ones at random places.",
       .formula =
           "of each layer's kept weights the fraction zeta with the smallest positive and the "
           "largest negative values goes, and equally many grow uniformly at random, from zero",
       .schedule = "a random mask before training; an update after every epoch (or every "
                   "`frequency` steps) but the last",
       .differs = "a weight that was just dropped does not grow again in the same update; in the "
                  "published code any empty place is drawn, those just emptied among them (3 in "
                  "100 at 90 % sparsity and zeta 0.3). Its comparisons drop up to two weights more "
                  "per layer; it keeps the output layer dense (`exclude`). Densities follow from "
                  "the sparsity (published: a constant epsilon)",
       .use_when = "Training itself must be sparse, and gradients of removed weights cost too "
                   "much.",
       .not_when = "The training is so short that masks move a few times: a fixed random mask did "
                   "better (methods.md).",
       .patterns = {"unstructured"}},
      {{&Set::moved_fraction, "moved-fraction", {0, 1}, "", "zeta, replaced in an update"},
       {&Set::frequency, "frequency", {0, 1'000'000}, "steps", "distance of updates; 0: an epoch"},
       {&Set::end, "end", {0, 1}, "fraction of training", "no update from here on"},
       allocation_option(&Set::allocation, {"erk", "er", "uniform", "uniform-dense-first"})},
      [](const Set& o, const PruneSettings&) -> Timeline {
        return {{at(one_shot_schedule(),
                    mask_update(
                        {.score = random_score(), .allocation = make_allocation(o.allocation)})),
                 at(dynamic_schedule({.frequency = o.frequency,
                                      .end = o.end,
                                      .fraction = o.moved_fraction,
                                      .decay = MovedDecay::Constant,
                                      .at_first_step = false}),
                    mask_update({.score = sign_quantile_score(),
                                 .allocation = make_allocation(o.allocation),
                                 .growth = random_growth()}))}};
      });
}

}  // namespace espalier::prune::method_list
