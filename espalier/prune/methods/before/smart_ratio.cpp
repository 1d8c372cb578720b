// SPDX-License-Identifier: Apache-2.0
/// Smart-Ratio: random tickets with hand-set layer densities, and hybrid tickets.
///
/// Source: Su, Chen, Cai, Wu, Gao, Wang, Lee, "Sanity-checking pruning methods: random tickets can
/// win the jackpot", arXiv 2009.11094.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Ticket : uint8_t { Random, Hybrid };
struct SmartRatio {
  SmartRatioRule rule = SmartRatioRule::Residual;
  Density linear_density = Density(0.3);
  Ticket ticket = Ticket::Random;
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
                  "networks over l^2), linear layers a fixed fraction; s = uniform(0, 1), or |w| "
                  "for hybrid tickets",
       .schedule = "one update before training; then train with the mask fixed. Hybrid tickets "
                   "start from trained weights",
       .differs = "the published code takes the plain rule for every network that is no ResNet; "
                  "here a rule sees the sizes of layers and no residual sums, so plain networks "
                  "(VGG) must be told: `ratio-rule plain`. Remainders of rounding are shared out, "
                  "so that the total is exact (published: lost)",
       .use_when = "Pruning must cost nothing, before training and without data: it only sets "
                   "layers' densities.",
       .not_when = "The network is neither like a ResNet nor like VGG, for which its densities "
                   "were set.",
       .patterns = every_pattern()},
      {{&SmartRatio::rule,
        "ratio-rule",
        {"residual", "plain", "linear", "cubic", "ascending", "uniform"},
        "how p_l falls: as for ResNets, as for VGG, or one of the paper's ablations (k, k^3, l^2 + "
        "l, 1)"},
       {&SmartRatio::linear_density, "linear-density", {0, 1}, "fraction kept", "of linear layers"},
       {&SmartRatio::ticket, "ticket", {"random", "hybrid"}, "random, or the largest weights"}},
      [](const SmartRatio& o, const PruneSettings&) -> Timeline {
        return {{at(
            one_shot_schedule(),
            mask_update({.score = o.ticket == Ticket::Hybrid ? magnitude_score() : random_score(),
                         .allocation = smart_ratio_allocation(
                             {.rule = o.rule, .linear_density = o.linear_density})}))}};
      });
}

}  // namespace espalier::prune::method_list
