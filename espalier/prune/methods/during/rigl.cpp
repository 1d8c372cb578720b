// SPDX-License-Identifier: Apache-2.0
/// RigL: the rigged lottery.
///
/// Source: Evci, Gale, Menick, Castro, Elsen, arXiv 1911.11134. As in the published code a
/// connection that is dropped competes for regrowth with its value (the paper's text can be read
/// otherwise: `just-dropped`), and an update takes the place of the optimizer's step.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Rigl {
  double moved_fraction = 0.3;
  int64_t frequency = 100;
  double end = 0.75;
  JustDropped just_dropped = JustDropped::MayReturn;
  std::string allocation = "erk";
};

}  // namespace

Method rigl() {
  return make_method<Rigl>(
      {.name = "rigl",
       .title = "RigL: the rigged lottery",
       .paper = "Evci, Gale, Menick, Castro, Elsen, arXiv 1911.11134",
       .year = 2020,
       .when = When::During,
       .idea = "Train sparse from the start, and now and then move the weakest connections to "
               "where the gradient of a connection that is not there is largest.",
       .formula = "at step t each layer drops its k = f(t) n smallest |w| of n, f(t) = alpha / 2 "
                  "(1 + cos(pi t / T_end)), and grows the k removed ones with the largest "
                  "|dL/d(mw)|, from zero",
       .schedule =
           "a random mask before training; an update instead of the optimizer's step at every "
           "`frequency`-th step until `end`. Only those steps compute dense gradients",
       .differs = "the first layer is pruned like all others (published for CIFAR: dense, "
                  "`allocation uniform-dense-first` or `exclude`)",
       .use_when = "Training itself must be sparse, and is long enough for masks to move many "
                   "times.",
       .not_when = "The training is short: a fixed random mask did better in our runs "
                   "(methods.md).",
       .patterns = {"unstructured", "4x1", "8x1", "kernel"}},
      {{&Rigl::moved_fraction, "moved-fraction", {0, 1}, "", "alpha, moved at first"},
       {&Rigl::frequency, "frequency", {1, 1'000'000}, "steps", "distance of updates"},
       {&Rigl::end, "end", {0, 1}, "fraction of training", "T_end, no update from here on"},
       {&Rigl::just_dropped, "just-dropped", {"may-return", "stays-out"}, "in the same update"},
       allocation_option(&Rigl::allocation, {"erk", "er", "uniform", "uniform-dense-first"})},
      [](const Rigl& o, const PruneSettings&) -> Timeline {
        return {{at(one_shot_schedule(),
                    mask_update(
                        {.score = random_score(), .allocation = make_allocation(o.allocation)})),
                 at(dynamic_schedule(
                        {.frequency = o.frequency, .end = o.end, .fraction = o.moved_fraction}),
                    mask_update({.score = magnitude_score(),
                                 .allocation = make_allocation(o.allocation),
                                 .growth = gradient_growth(o.just_dropped)}))}};
      });
}

}  // namespace espalier::prune::method_list
