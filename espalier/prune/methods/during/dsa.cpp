// SPDX-License-Identifier: Apache-2.0
/// DSA: how much of each layer stays is learnt by gradients, within a budget.
///
/// Source: Ning, Zhao, Li, Lei, Wang, Yang, "DSA: more efficient budgeted pruning via
/// differentiable sparsity allocation", arXiv 2004.02164, and its published code; see
/// penalties/soft_keep.h.
#include <espalier/prune/actions/learn_ratios.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune::method_list {
namespace {

struct Dsa {
  double rate = 0.1;
  double rho = 10.0;
  double sharpness = 1.0;
  double final_sharpness = 50.0;
  double prune_at = 0.5;
};

}  // namespace

Method dsa() {
  return make_method<Dsa>(
      {.name = "dsa",
       .title = "DSA: differentiable sparsity allocation",
       .paper = "Ning, Zhao, Li, Lei, Wang, Yang, arXiv 2004.02164",
       .year = 2020,
       .when = When::During,
       .how = How::Learning,
       .idea = "Which channels of a layer stay, their scales say; how many, let gradients find, in "
               "one training: by a threshold that is soft and moves with the share that stays.",
       .formula = "alpha = sigmoid(theta) of each group of channels; p_c = 1 / (1 + (|gamma_c| / "
                  "beta1)^-beta2), beta1 so that mean p = alpha; channel c is open with p_c, "
                  "dL/dp_c is that of its gate, dp_c / dalpha = C f_c / sum f, f = p (1 - p); and "
                  "alpha pays (lambda + rho (cost(alpha) - target)) dcost/dalpha; the groups keep "
                  "alpha of their channels, the largest |gamma|",
       .schedule = "shares are learnt with the weights until `prune-at`, ever sharper; one update "
                   "there; then fine-tuning, and shrink",
       .differs =
           "shares learn from the batches that weights learn from (published: from a part of "
           "the training data that is set apart); the constraint is kept by the method of "
           "multipliers, lambda moving by rho (cost - target) / 1000 a step (published: by ADMM); "
           "how beta2 grows is ours, from `sharpness` to "
           "`final-sharpness`; no p has a floor, but one channel of each group is always "
           "open; of channels that a sum ties together the largest |gamma| counts; the "
           "shares are scaled by one factor in the end, so that the target is met; of a target of "
           "bytes or latency they are learnt by MACs",
       .use_when = "Layers need different shares within a budget, and one training has to find "
                   "them.",
       .not_when = "There is no batch norm, or trained weights must not be disturbed.",
       .patterns = {"channel"}},
      {{&Dsa::rate, "ratio-lr", {0, 10}, "", "of the shares' Adam"},
       {&Dsa::rho,
        "rho",
        {0, 1e6},
        "",
        "of the constraint: what a cost beyond the target is worth"},
       {&Dsa::sharpness, "sharpness", {0.001, 1e6}, "", "beta2 at first"},
       {&Dsa::final_sharpness, "final-sharpness", {0.001, 1e6}, "", "beta2 at `prune-at`"},
       prune_at_option(&Dsa::prune_at)},
      [](const Dsa& o, const PruneSettings&) -> Timeline {
        const auto ratios = std::make_shared<RatiosByLayer>();
        return {.events = {during(0.0,
                                  o.prune_at,
                                  learn_ratios({.rate = o.rate,
                                                .rho = o.rho,
                                                .sharpness = o.sharpness,
                                                .final_sharpness = o.final_sharpness,
                                                .until = o.prune_at},
                                               ratios)),
                           at(one_shot_schedule(o.prune_at),
                              mask_update({.score = norm_scale_score(OfNorms::Largest),
                                           .allocation = learnt_ratio_allocation(ratios),
                                           .sites = {.refusal = without_norm_scale},
                                           .min_per_layer = 1}))},
                .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
