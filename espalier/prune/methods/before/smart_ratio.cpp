// SPDX-License-Identifier: Apache-2.0
/// Smart-Ratio: random tickets with hand-set layer densities. The paper's tickets of trained
/// weights are the method `hybrid-tickets`.
///
/// Source: Su, Chen, Cai, Wu, Gao, Wang, Lee, "Sanity-checking pruning methods: random tickets can
/// win the jackpot", arXiv 2009.11094.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct SmartRatio {
  SmartRatioRule rule = SmartRatioRule::Residual;
  Density linear_density = Density(0.3);
};

}  // namespace

Method smart_ratio() {
  return make_method<SmartRatio>(
      {.name = "smart-ratio",
       .title = "Smart-Ratio random tickets",
       .paper = "Su, Chen, Cai, Wu, Gao, Wang, Lee, arXiv 2009.11094",
       .year = 2020,
       .when = When::Before,
       .idea = "Before training only the densities of the layers matter, not which weights stay: "
               "densities that fall with depth, and random places, do as well as data.",
       .formula = "of L layers convolution l keeps p_l ~ k^2 + k with k = L - l + 1 (in plain "
                  "networks over l^2), linear layers a fixed fraction; s = uniform(0, 1)",
       .schedule = "one update before training; then train with the mask fixed",
       .differs = "the published code takes the plain rule for every network that is no ResNet; "
                  "here a rule sees the sizes of layers and no residual sums, so plain networks "
                  "(VGG) must be told: `ratio-rule plain`. Remainders of rounding are shared out, "
                  "so that the total is exact (published: lost)",
       .use_when = "Pruning must cost nothing, before training and without data: it only sets "
                   "layers' densities.",
       .not_when = "The network is neither like a ResNet nor like VGG, for which its densities "
                   "were set.",
       .patterns = every_pattern()},
      {ratio_rule_option(&SmartRatio::rule), linear_density_option(&SmartRatio::linear_density)},
      [](const SmartRatio& o, const PruneSettings&) -> Timeline {
        return {{at(one_shot_schedule(),
                    mask_update({.score = random_score(),
                                 .allocation = smart_ratio_allocation(
                                     {.rule = o.rule, .linear_density = o.linear_density})}))}};
      });
}

}  // namespace espalier::prune::method_list
