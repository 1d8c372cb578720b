// SPDX-License-Identifier: Apache-2.0
/// Sparse momentum (SNFS): sparse networks from scratch without losing performance.
///
/// Source: Dettmers, Zettlemoyer, arXiv 1907.04840, and its published code. As there, a connection
/// that is dropped competes for regrowth with the others, with the value that it has.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct SparseMomentum {
  double moved_fraction = 0.5;
  double least_moved = 0.005;
  int64_t frequency = 0;
  double momentum = 0.9;
  double second_moment = 0.0;
  JustDropped just_dropped = JustDropped::MayReturn;
  std::string allocation = "uniform";
};

}  // namespace

Method sparse_momentum() {
  return make_method<SparseMomentum>(
      {.name = "sparse-momentum",
       .title = "Sparse momentum (SNFS)",
       .paper = "Dettmers, Zettlemoyer, arXiv 1907.04840",
       .year = 2019,
       .when = When::During,
       .idea = "How large the momentum of a layer's weights is tells how much the layer can still "
               "lower the loss: let weights die where they are small, and grow as many in the "
               "layers, and at the places, where momentum is largest.",
       .formula = "v <- mu v + dL/d(mw), at removed places too; each layer drops p of its n "
                  "smallest |w|; of all that was dropped a layer regrows the share mean |v| of its "
                  "n weights / sum of these means, at the largest |v|; p = p_T + (p_0 - p_T) / 2 "
                  "(1 + cos(pi t / T))",
       .schedule = "a random mask before training; an update after every epoch (or every "
                   "`frequency` steps) but the last. Every step computes dense gradients",
       .differs = "the number of weights is exact in total (published: it hovers, and is brought "
                  "back); v is of the gradients alone (published: the optimizer's buffer, with "
                  "weight decay); p n is rounded down (published: up), and what overflows a full "
                  "layer goes to the others in proportion to their shares (published: evenly, at "
                  "0.99 full). Nearly dense layers lose no more than has another place, if "
                  "`just-dropped` stays out (published: at most the removed fraction)",
       .use_when = "Training must be sparse, and layers should share the weights by what they "
                   "still can learn.",
       .not_when = "Dense gradients of every step can't be paid for.",
       .patterns = {"unstructured"}},
      {{&SparseMomentum::moved_fraction, "moved-fraction", {0, 1}, "", "p_0, dropped at first"},
       {&SparseMomentum::least_moved, "least-moved", {0, 1}, "", "p_T, dropped at the end"},
       {&SparseMomentum::frequency,
        "frequency",
        {0, 1'000'000},
        "steps",
        "distance of updates; 0: an epoch"},
       {&SparseMomentum::momentum, "growth-momentum", {0, 0.9999}, "", "mu"},
       {&SparseMomentum::second_moment,
        "growth-second-moment",
        {0, 0.9999},
        "",
        "as Adam, v over the root of a mean of squared gradients with this decay; 0: v itself"},
       {&SparseMomentum::just_dropped,
        "just-dropped",
        {"may-return", "stays-out"},
        "whether a dropped connection may grow again in the same update"},
       allocation_option(&SparseMomentum::allocation,
                         {"uniform", "uniform-dense-first", "er", "erk"})},
      [](const SparseMomentum& o, const PruneSettings&) -> Timeline {
        return {{at(one_shot_schedule(),
                    mask_update(
                        {.score = random_score(), .allocation = make_allocation(o.allocation)})),
                 at(dynamic_schedule({.frequency = o.frequency,
                                      .end = 1.0,
                                      .fraction = o.moved_fraction,
                                      .least = o.least_moved,
                                      .at_first_step = false}),
                    mask_update({.score = magnitude_score(),
                                 .allocation = living_allocation(),
                                 .growth = momentum_growth({.decay = o.momentum,
                                                            .second = o.second_moment,
                                                            .dropped = o.just_dropped}),
                                 .growth_allocation = regrowth_allocation(GrowthShare::Merit)}))}};
      });
}

}  // namespace espalier::prune::method_list
