// SPDX-License-Identifier: Apache-2.0
/// GraNet: gradual pruning with neuroregeneration.
///
/// Source: Liu et al., arXiv 2106.10404, algorithm 1, and the authors' code, whose scripts prune
/// until the epoch 80 of 160.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct GraNet {
  Sparsity initial = Sparsity(0.0);
  double end = 0.5;
  int64_t frequency = 1000;
  double moved_fraction = 0.5;
  double least_moved = 0.005;
  JustDropped just_dropped = JustDropped::MayReturn;
};

}  // namespace

Method granet() {
  return make_method<GraNet>(
      {.name = "granet",
       .title = "GraNet: gradual pruning with neuroregeneration",
       .paper = "Liu et al., arXiv 2106.10404",
       .year = 2021,
       .when = When::During,
       .idea = "Prune gradually, and after each time let as many connections come back as are "
               "dropped anew, where the gradient is largest: nothing is lost for good by mistake.",
       .formula =
           "at step t the smallest |w| of all layers go, up to the sparsity s_f + (s_i - s_f) (1 - "
           "t / (n dt))^3; then each layer drops its k = r(t) n smallest |w| of n and grows the k "
           "removed ones with the largest |dL/d(mw)|, from zero; r(t) = r_T + (r_0 - r_T) / 2 (1 + "
           "cos(pi t / T))",
       .schedule = "dense at first, or a random mask of `initial-sparsity` with ERK densities; "
                   "pruning every `frequency` steps until `end`, exchange every `frequency` steps "
                   "of the whole training, instead of the optimizer's step",
       .differs = "the last pruning reaches the sparsity (published: it comes an interval too "
                  "soon, and misses it a little). The gradient is that of the pruned network "
                  "(published: of the step before). k is rounded down (published: up). What is "
                  "dropped loses its momentum",
       .use_when = "One training is all there is, may begin dense or half dense, and must end "
                   "very sparse.",
       .not_when = "The whole training must be as sparse as its end, as with RigL and SET.",
       .patterns = {"unstructured"}},
      {{&GraNet::initial, "initial-sparsity", {0, 1}, "", "s_i, of a random mask; 0: dense"},
       {&GraNet::end, "end", {0, 1}, "fraction of training", "final sparsity reached"},
       {&GraNet::frequency, "frequency", {1, 1'000'000}, "steps", "dt, distance of updates"},
       {&GraNet::moved_fraction, "moved-fraction", {0, 1}, "", "r_0, exchanged at first"},
       {&GraNet::least_moved, "least-moved", {0, 1}, "", "r_T, exchanged at the end of training"},
       {&GraNet::just_dropped,
        "just-dropped",
        {"may-return", "stays-out"},
        "whether a dropped connection may grow again in the same exchange"}},
      [](const GraNet& o, const PruneSettings&) -> Timeline {
        const CubicOptions pruning{
            .begin = 0.0, .end = o.end, .frequency = o.frequency, .initial = o.initial};
        const DynamicOptions moves{.frequency = o.frequency,
                                   .end = 1.0,
                                   .fraction = o.moved_fraction,
                                   .least = o.least_moved,
                                   .at_first_step = false};
        Timeline timeline;
        if (o.initial > Sparsity(0.0)) {
          timeline.events.push_back(
              at(one_shot_schedule(0.0, o.initial),
                 mask_update({.score = random_score(), .allocation = make_allocation("erk")})));
        }
        timeline.events.push_back(
            at(cubic_schedule(pruning),
               mask_update({.score = magnitude_score(), .allocation = global_allocation()})));
        timeline.events.push_back(
            at(moves_while_pruning(dynamic_schedule(moves), cubic_schedule(pruning)),
               mask_update({.score = magnitude_score(),
                            .allocation = global_allocation(),
                            .growth = gradient_growth(o.just_dropped)})));
        return timeline;
      });
}

}  // namespace espalier::prune::method_list
