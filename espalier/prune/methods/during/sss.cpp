// SPDX-License-Identifier: Apache-2.0
/// Sparse structure selection: a factor behind every channel, trained to be exactly zero.
///
/// Source: Huang, Wang, "Data-driven sparse structure selection for deep neural networks", arXiv
/// 1707.01213, and its published code. The form is nn/forms/factors.h, on the weights that read a
/// channel: a factor there stands behind batch norm, which would undo it, and a ReLU lets a factor
/// that is not negative through, so that this is the factor on the channel's output. The paper's
/// other structures, residual blocks and groups, are not here. The gamma is published for ImageNet.
#include <algorithm>
#include <cmath>

#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/actions/unit_factors.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct Sss {
  double strength = 0.01;
  double momentum = 0.9;
  Select select = Select::Sparsity;
  std::string allocation = "global";
  double prune_at = 0.5;
};

/// One accelerated proximal step of the factors; the training's optimizer then has nothing to do
/// with them. The positive part comes after the look ahead, and leaves the velocity as it is.
void select_structures(nn::Factors& form, double rate, const Sss& o) {
  const std::vector<double> gradient = gradient_of(form);
  std::vector<double> factors = form.factors.value.value().to_vector<double>();
  std::vector<double> velocity = form.memories.front().to_vector<double>();
  for (size_t i = 0; i < factors.size(); ++i) {
    const double moved = factors[i] - rate * gradient[i];
    const double z = std::copysign(std::max(0.0, std::abs(moved) - rate * o.strength), moved);
    velocity[i] = z - factors[i] + o.momentum * velocity[i];
    factors[i] = std::max(0.0, z + o.momentum * velocity[i]);
  }
  assign(form.factors.value.value(), factors);
  assign(form.memories.front(), velocity);
  form.factors.value.zero_grad();
}

}  // namespace

Method sss() {
  return make_method<Sss>(
      {.name = "sss",
       .title = "Sparse structure selection",
       .paper = "Huang, Wang, arXiv 1707.01213",
       .year = 2018,
       .when = When::During,
       .how = How::Learning,
       .idea = "Multiply what every channel gives by a factor, and train the factors by proximal "
               "steps, which bring those that are not needed to exactly zero.",
       .formula = "loss + gamma sum |f|, f from 1; z = shrink(f - lr dL/df, lr gamma); v <- z - f "
                  "+ m v; f <- max(0, z + m v); channels with the smallest f go",
       .schedule = "factors until `prune-at`, one update there folds them into the weights; then "
                   "fine-tuning. As published: `select zeros` and `prune-at 1`. Weights need "
                   "weight decay (published: 1e-4), or they grow as factors shrink; published "
                   "with Nesterov's momentum on weights",
       .differs = "as many channels go as are asked for (published: those whose factor is zero, "
                  "`select zeros`); channels alone, not residual blocks and groups; a channel's "
                  "factor multiplies the weights that read it, which is the same",
       .use_when =
           "Channels should become exactly zero by themselves in one training with weight decay.",
       .not_when =
           "Weights have no weight decay: they grow while factors shrink, which then tell nothing.",
       .patterns = {"channel"}},
      {{&Sss::strength, "strength", {0, 1e6}, "", "gamma, relative to the batch's mean loss"},
       {&Sss::momentum, "factor-momentum", {0, 0.9999}, "", "m, of the factors"},
       {&Sss::select,
        "select",
        {"sparsity", "zeros"},
        "remove the channels with the smallest factors down to the sparsity, or exactly those "
        "whose factor is 0"},
       allocation_option(&Sss::allocation, {"global", "uniform"}),
       prune_at_option(&Sss::prune_at)},
      [](const Sss& o, const PruneSettings&) -> Timeline {
        const auto learnt = std::make_shared<FormsByWeight>();
        const auto factors =
            train_under_forms({.kind = "factors",
                               .put_on = [](const Subject& of) { put_factors(of, 1); },
                               .mask = nn::FoldedMask::OfWeight,
                               .after_backward =
                                   [o](const nn::FormSite& site, nn::TrainState& state) {
                                     nn::Factors* own = first_factors(*site.form());
                                     if (own != nullptr)
                                       select_structures(*own, state.optimizer.lr(), o);
                                   },
                               .folded = learnt});
        return {.events = {during(0.0, o.prune_at, factors),
                           at(one_shot_schedule(o.prune_at),
                              mask_update({.score = factor_score(learnt, OfFactors::Value),
                                           .allocation = allocation_of(
                                               o.select, 0.0, make_allocation(o.allocation))}))},
                .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
