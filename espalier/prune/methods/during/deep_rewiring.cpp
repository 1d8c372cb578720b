// SPDX-License-Identifier: Apache-2.0
/// Deep rewiring: training that samples sparse networks.
///
/// Source: Bellec, Kappel, Maass, Legenstein, arXiv 1711.05136, algorithm 1.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct DeepRewiring {
  double temperature = 1e-6;
  double final_temperature = 1e-16;
  double l1 = 1e-5;
  int64_t frequency = 1;
  double end = 0.95;
  std::string allocation = "erk";
};

}  // namespace

Method deep_rewiring() {
  return make_method<DeepRewiring>(
      {.name = "deep-r",
       .title = "Deep rewiring",
       .paper = "Bellec, Kappel, Maass, Legenstein, arXiv 1711.05136",
       .year = 2018,
       .when = When::During,
       .idea = "Give each connection a sign that it can't change, and noise: one that would cross "
               "zero dies, and another comes to life at random.",
       .formula =
           "w = s theta; theta -= eta dL/dtheta + eta alpha - sqrt(2 eta T) nu, nu normal; a "
           "connection goes when its sign has changed, and as many grow uniformly at random "
           "in its layer, from zero",
       .schedule = "a random mask before training; rewiring before every step (or every "
                   "`frequency`-th) until `end`; T falls by the same factor at every step",
       .differs = "a new connection has no sign until its first step, as in later codes (paper: "
                  "signs are drawn once). What just died comes back at once only where its layer "
                  "has no other place left, and there it stays, with its new sign. Momentum "
                  "carries the gradient and alpha, not the noise. Later codes add noise to the "
                  "gradient, of a rate of its own, and lower T in steps",
       .use_when = "The number of connections must be bounded at every step of training.",
       .not_when = "The training is short: places are drawn at random, and good ones take many "
                   "steps to find.",
       .patterns = {"unstructured"}},
      {{&DeepRewiring::temperature,
        "temperature",
        {0, 1},
        "of the loss",
        "T at first; 0: no noise"},
       {&DeepRewiring::final_temperature,
        "final-temperature",
        {1e-30, 1},
        "of the loss",
        "T at the end of training"},
       {&DeepRewiring::l1, "l1", {0, 1000}, "", "alpha, pulls every connection to zero"},
       {&DeepRewiring::frequency, "frequency", {1, 1'000'000}, "steps", "distance of updates"},
       {&DeepRewiring::end, "end", {0, 1}, "fraction of training", "no update from here on"},
       allocation_option(&DeepRewiring::allocation,
                         {"erk", "er", "uniform", "uniform-dense-first"})},
      [](const DeepRewiring& o, const PruneSettings&) -> Timeline {
        const std::shared_ptr<Allocation> sizes = make_allocation(o.allocation);
        return {.events = {at(one_shot_schedule(),
                              mask_update({.score = random_score(), .allocation = sizes})),
                           at(dynamic_schedule(
                                  {.frequency = o.frequency, .end = o.end, .fraction = 0.0}),
                              mask_update({.score = sign_flip_score(),
                                           .allocation = threshold_allocation(0.5),
                                           .growth = random_growth(),
                                           .growth_allocation = sizes})),
                           during(0.0, 1.0, l1_penalty(o.l1)),
                           during(0.0,
                                  o.end,
                                  weight_noise({.temperature = o.temperature,
                                                .final_temperature = o.final_temperature}))},
                .refused = {{Ablation::Invert, "connections die by their sign, not by a rank"}}};
      });
}

}  // namespace espalier::prune::method_list
