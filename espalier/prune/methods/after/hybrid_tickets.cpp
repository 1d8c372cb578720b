// SPDX-License-Identifier: Apache-2.0
/// Hybrid tickets: layer densities set by hand, weights by what training made of them, and
/// learning-rate rewinding.
///
/// Source: Su, Chen, Cai, Wu, Gao, Wang, Lee, "Sanity-checking pruning methods: random tickets can
/// win the jackpot", arXiv 2009.11094, and its published code.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct HybridTickets {
  SmartRatioRule rule = SmartRatioRule::Residual;
  Density linear_density = Density(0.3);
  double part = 1.0;
};

}  // namespace

Method hybrid_tickets() {
  return make_method<HybridTickets>(
      {.name = "hybrid-tickets",
       .title = "Hybrid tickets: smart ratios of trained weights",
       .paper = "Su, Chen, Cai, Wu, Gao, Wang, Lee, arXiv 2009.11094",
       .year = 2020,
       .idea = "Learning-rate rewinding needs no ranking of layers against each other: take the "
               "densities that suit a random network, and in each layer the weights that training "
               "made large.",
       .formula = "of L layers convolution l keeps p_l ~ k^2 + k with k = L - l + 1 (in plain "
                  "networks over l^2), linear layers a fixed fraction; in each the largest |w| of "
                  "the trained network",
       .schedule =
           "the run trains `epochs`, prunes once, and repeats its last part from the weights "
           "that it has, with the learning rates of that part",
       .differs = "the whole training is repeated (not given by the paper; ours, "
                  "`retrain-part`); plain networks (VGG) must be told, `ratio-rule plain`; "
                  "remainders of rounding are shared out, so that the total is exact (published: "
                  "lost); a weight that becomes zero trains on (published: it freezes)",
       .use_when = "A trained network is there, and the time to train it again at its own "
                   "rates.",
       .not_when = "No second training can be paid for.",
       .patterns = every_pattern()},
      {ratio_rule_option(&HybridTickets::rule),
       linear_density_option(&HybridTickets::linear_density),
       {&HybridTickets::part, "retrain-part", {0, 1}, "fraction of training", "repeated"}},
      [](const HybridTickets& o, const PruneSettings&) -> Timeline {
        return {.events = {at(
                    rounds_schedule(1, 1.0),
                    mask_update({.score = magnitude_score(),
                                 .allocation = smart_ratio_allocation(
                                     {.rule = o.rule, .linear_density = o.linear_density})}))},
                .recovery = std::make_shared<Recovery>(
                    RecoveryOptions{.weights = RoundWeights::Final, .from = 1.0 - o.part})};
      });
}

}  // namespace espalier::prune::method_list
