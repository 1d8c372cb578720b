// SPDX-License-Identifier: Apache-2.0
/// FCF: factorised convolutional filters, a weight times a number that becomes 0 or 1.
///
/// Source: Li, Wu, Yang, Fan, Zhang, Liu, "Compressing convolutional neural networks via
/// factorized convolutional filters", CVPR 2019, and its published code. Numbers are 0 or 1 where a
/// box and a sphere meet (lp-box), and k of them are 1 by a sum in the box; ADMM brings the three
/// together beside the training of the weights. The form is nn/forms/factors.h; its memories are
/// the dual variables y1 and y2, and k. The numbers are moved by plain descent with the training's
/// rate, as published, where weights have no momentum either. With one of 0.9 the constraints alone
/// would make them diverge after some hundred steps (eight numbers, loss left out); without it they
/// become 0 and 1.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/actions/unit_factors.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/penalties/lp_box.h>

namespace espalier::prune::method_list {
namespace {

constexpr int64_t kMemories = 3;  // y1, y2, k

struct Fcf {
  double rho = 0.01;
  double most_rho = 6.0;
  double growth_until = 0.5;
  double share = 0.99;
  double prune_at = 0.5;
};

/// rho of a step: it grows by the same factor at every step up to its limit.
double rho_at(const Fcf& o, int64_t step, int64_t steps) {
  const double way = o.growth_until * o.prune_at * static_cast<double>(steps);
  const double share = way > 0.0 ? std::min(static_cast<double>(step) / way, 1.0) : 1.0;
  return o.rho * std::pow(std::max(o.most_rho / o.rho, 1.0), share);
}

void put_numbers(const Subject& subject) {
  std::map<std::string, int64_t> kept;
  for (const auto& [name, k] : kept_of_each(subject, make_allocation("uniform"))) kept[name] = k;
  put_factors(subject, kMemories, [&](nn::Factors& form, const GateBanks& banks, size_t bank) {
    int64_t k = 0;
    for (const std::string& site : banks.sites[bank]) k += kept.at(site);
    form.memories.back().fill_(static_cast<double>(k));
  });
}

/// One step of a bank's numbers; the training's optimizer then has nothing to do with them.
void settle(nn::Factors& form, double rate, double rho, double share) {
  const auto numbers = [](const Tensor& of) { return of.to_vector<double>(); };
  LpBox state = {
      numbers(form.factors.value.value()), numbers(form.memories[0]), numbers(form.memories[1])};
  make_step(state,
            gradient_of(form),
            {.sum = numbers(form.memories[2]).front(), .rate = rate, .rho = rho, .share = share});
  assign(form.factors.value.value(), state.numbers);
  assign(form.memories[0], state.of_box);
  assign(form.memories[1], state.of_sphere);
  form.factors.value.zero_grad();
}

}  // namespace

Method fcf() {
  return make_method<Fcf>(
      {.name = "fcf",
       .title = "FCF: factorised convolutional filters",
       .paper = "Li, Wu, Yang, Fan, Zhang, Liu, CVPR 2019",
       .year = 2019,
       .when = When::During,
       .how = How::Learning,
       .idea = "Write every filter as a filter times a number, and let the numbers become 0 or 1 "
               "while the network trains, as many 1 as each layer shall keep.",
       .formula =
           "e_i = v_i w_i, v from 1; z1 = v + y1/rho onto the box 0 .. 1 with sum k, z2 = v + "
           "y2/rho onto the sphere around 1/2 through the corners; gradient of v: a (y1 + y2 + "
           "rho (2v - z1 - z2)) + (1 - a) dL/dv; y += rho (v - z); rho grows by the same factor "
           "at every step; the layer's k units with the largest v stay",
       .schedule = "start from trained weights; numbers until `prune-at`, one update there, then "
                   "fine-tuning. S is the share of each layer's units",
       .differs =
           "rho grows over a share of the numbers' phase, `growth-until`, which is ours, so that "
           "they are 0 or 1 at its end however short it is (published: by 1.01 at every step, so "
           "that it is 6 after 643); a channel's number multiplies the weights that read it, "
           "behind batch norm, which would "
           "undo it (published: the filter; pattern `filter` is that); weights have the training's "
           "optimizer (published: plain descent, as v has); exactly the k largest stay and v is "
           "folded as it is (published: those above 0.1, as 1); k of all layers is the same share, "
           "rounded (published: rounded down, or a ranking of mean |w|)",
       .use_when = "A trained network must lose filters, as many in every layer, and may learn "
                   "which while it trains.",
       .not_when = "Layers should share one budget, or training is too short for a hundred steps "
                   "of numbers.",
       .patterns = {"channel", "filter"}},
      {{&Fcf::rho, "rho", {1e-9, 1e6}, "", "of the first step"},
       {&Fcf::most_rho, "most-rho", {1e-9, 1e6}, "", "from which on rho stays"},
       {&Fcf::growth_until,
        "growth-until",
        {0, 1},
        "of the steps until `prune-at`",
        "when rho is `most-rho`"},
       {&Fcf::share, "constraint-share", {0, 1}, "", "a, of the constraints in the gradient"},
       prune_at_option(&Fcf::prune_at)},
      [](const Fcf& o, const PruneSettings&) -> Timeline {
        const auto learnt = std::make_shared<FormsByWeight>();
        const auto numbers =
            train_under_forms({.kind = "factors",
                               .put_on = put_numbers,
                               .mask = nn::FoldedMask::OfWeight,
                               .divides = true,
                               .after_backward =
                                   [o](const nn::FormSite& site, nn::TrainState& state) {
                                     nn::Factors* own = first_factors(*site.form());
                                     if (own == nullptr) return;
                                     settle(*own,
                                            state.optimizer.lr(),
                                            rho_at(o, state.step, state.total_steps),
                                            o.share);
                                   },
                               .folded = learnt});
        return {.events = {during(0.0, o.prune_at, numbers),
                           at(one_shot_schedule(o.prune_at),
                              mask_update({.score = factor_score(learnt, OfFactors::Value),
                                           .allocation = make_allocation("uniform")}))},
                .refused = {{Ablation::Reinit, "it learns what it keeps before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
