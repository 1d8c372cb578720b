// SPDX-License-Identifier: Apache-2.0
/// Smart-Ratio: random tickets with hand-set layer densities, and hybrid tickets.
///
/// Source: Su, Chen, Cai, Wu, Gao, Wang, Lee, "Sanity-checking pruning methods: random tickets can
/// win the jackpot", arXiv 2009.11094. Remainders of rounding are shared out (the published code
/// drops them), so that the total is exact.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

SmartRatioRule rule_of(const std::string& name) {
  if (name == "plain") return SmartRatioRule::Plain;
  if (name == "linear") return SmartRatioRule::Linear;
  if (name == "cubic") return SmartRatioRule::Cubic;
  if (name == "ascending") return SmartRatioRule::Ascending;
  if (name == "uniform") return SmartRatioRule::Uniform;
  return SmartRatioRule::Residual;
}

}  // namespace

Method smart_ratio() {
  return {
      .name = "smart-ratio",
      .title = "Smart-Ratio random tickets",
      .paper = "Su, Chen, Cai, Wu, Gao, Wang, Lee, arXiv 2009.11094",
      .year = 2020,
      .speedup = Speedup::Unstructured,
      .when = When::Before,
      .how = How::Criterion,
      .one_shot = true,
      .global = false,
      .data_free = true,
      .idea =
          "Before training only the densities of the layers matter, not which weights stay: "
          "densities "
          "that fall with depth, and random places, do as well as data.",
      .formula =
          "of L layers convolution l keeps p_l ~ k^2 + k with k = L - l + 1 (in plain networks "
          "over "
          "l^2), linear layers a fixed fraction; s = uniform(0, 1), or |w| for hybrid tickets",
      .schedule =
          "one update before training; then train with the mask fixed. Hybrid tickets start from "
          "trained weights",
      .differs =
          "the published code takes the plain rule for every network that is no ResNet; here a "
          "rule sees the sizes of layers and no residual sums, so plain networks (VGG) must be "
          "told: `ratio-rule plain`. Remainders of rounding are shared out, so that the total "
          "is exact (published: lost)",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options =
          {
              choice_option("ratio-rule",
                            {"residual", "plain", "linear", "cubic", "ascending", "uniform"},
                            "how p_l falls: as for ResNets, as for VGG, or one of the paper's "
                            "ablations (k, k^3, l^2 + l, 1)"),
              real_option("linear-density",
                          0.3,
                          0.0,
                          1.0,
                          "fraction kept",
                          "of linear layers, whatever the sparsity"),
              choice_option("ticket",
                            {"random", "hybrid"},
                            "random places, or the largest weights of a trained network"),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            recipe.score = options.text("ticket") == "hybrid" ? magnitude_score() : random_score();
            recipe.allocation =
                smart_ratio_allocation({.rule = rule_of(options.text("ratio-rule")),
                                        .linear_density = Density(options.real("linear-density"))});
            recipe.schedule = one_shot_schedule();
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
