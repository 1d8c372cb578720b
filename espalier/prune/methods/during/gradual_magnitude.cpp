// SPDX-License-Identifier: Apache-2.0
/// Gradual magnitude pruning: sparsity rises along a cubic while the network trains.
///
/// Source: Zhu, Gupta, "To prune, or not to prune", arXiv 1710.01878. Begin and end are rounded
/// from the published code's (steps 20,000 and 75,000 of 97,656: 0.205 and 0.768).
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Gmp {
  double begin = 0.2;
  double end = 0.75;
  int64_t frequency = 100;
  Sparsity initial = Sparsity(0.0);
  std::string allocation = "uniform";
};

}  // namespace

Method gradual_magnitude() {
  return make_method<Gmp>(
      {.name = "gmp",
       .title = "Gradual magnitude pruning",
       .paper = "Zhu, Gupta, arXiv 1710.01878",
       .year = 2017,
       .when = When::During,
       .idea = "Prune a little at a time while training goes on: much while the network is "
               "redundant, little near the end, so that it can recover in between.",
       .formula =
           "s = |w|; at step t the sparsity is s_f + (s_i - s_f) * (1 - (t - t0) / (n dt))^3",
       .schedule = "updates every `frequency` steps from `begin` to `end`; training then goes on "
                   "with the mask fixed",
       .differs = "a pruned weight never comes back; the first layer is pruned like all others "
                  "(published: dense, `allocation uniform-dense-first`)",
       .use_when = "One training is all there is, and sparsity may rise while it goes on.",
       .not_when = "The training is short, or the first weights to go may be needed later: none "
                   "comes back.",
       .patterns = every_pattern()},
      {{&Gmp::begin, "begin", {0, 1}, "fraction of training", "first update"},
       {&Gmp::end, "end", {0, 1}, "fraction of training", "final sparsity reached"},
       {&Gmp::frequency, "frequency", {1, 1'000'000}, "steps", "distance of updates"},
       {&Gmp::initial, "initial-sparsity", {0, 1}, "", "sparsity of the first update"},
       allocation_option(&Gmp::allocation,
                         {"uniform", "uniform-dense-first", "global", "er", "erk"})},
      [](const Gmp& o, const PruneSettings&) -> Timeline {
        return {{at(
            cubic_schedule(
                {.begin = o.begin, .end = o.end, .frequency = o.frequency, .initial = o.initial}),
            mask_update(
                {.score = magnitude_score(), .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
