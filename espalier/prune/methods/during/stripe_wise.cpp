// SPDX-License-Identifier: Apache-2.0
/// Stripe-wise pruning: the shape of every filter is learnt by a skeleton.
///
/// Source: Meng, Cheng, Li, Luo, Guo, Lu, Sun, "Pruning filter in filter", arXiv 2009.14410, and
/// its published code. The form is nn/forms/factors.h. A skeleton value that was set to zero moves
/// with the optimizer's momentum in the same step, as published: it is zero again at the next as
/// long as it stays below the threshold. Published networks are cut by the threshold when training
/// is over (`select threshold`, `prune-at 1`); the default meets the asked sparsity and tunes.
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/actions/unit_factors.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct StripeWise {
  double strength = 1e-5;
  double threshold = 0.01;
  Select select = Select::Sparsity;
  std::string allocation = "global";
  double prune_at = 0.5;
};

nn::Factors& skeleton(nn::Form& form) {
  return dynamic_cast<nn::Factors&>(form);
}

void put_skeletons(const Subject& subject) {
  std::vector<std::string> notes;  // come with the update's report
  const auto weights = prunable_weights(subject.model, subject.settings.exclude);
  for (const nn::NamedParameter& weight : fitting_weights(weights, subject.pattern, notes)) {
    nn::put_form(
        subject.model,
        weight.name,
        std::make_shared<nn::Factors>(
            weight.parameter->shape(),
            nn::Factors::Options{.spread = {.grain = nn::Spread::Grain::Stripes}, .decay = true}));
  }
}

/// Values that are not above the threshold are zero, and so are their gradients.
void cut(nn::Parameter& values, double threshold) {
  Tensor above = as_double(values.value.value());
  for (int64_t i = 0; i < above.numel(); ++i) {
    double& value = above.data<double>()[i];
    value = std::abs(value) > threshold ? 1.0 : 0.0;
  }
  const Variable stays(above.to(values.value.dtype()));
  const NoGrad no_grad;
  values.value.value().copy_((values.value * stays).value());
  if (values.value.grad().defined()) values.value.set_grad(values.value.grad() * stays);
}

}  // namespace

Method stripe_wise() {
  return make_method<StripeWise>(
      {.name = "stripe-wise",
       .title = "Stripe-wise pruning",
       .paper = "Meng, Cheng, Li, Luo, Guo, Lu, Sun, arXiv 2009.14410",
       .year = 2020,
       .when = When::During,
       .how = How::Learning,
       .idea = "Give every filter a skeleton with one number for each place of its kernel, and "
               "learn which places the filter needs: a filter is then a few 1x1 filters, each on "
               "a shifted input.",
       .formula = "e = w FS, FS of a filter and a place, for all inputs; loss + alpha sum |FS|; "
                  "|FS| up to `threshold` is set to zero in every step, with its gradient; "
                  "stripes with the smallest |FS| go",
       .schedule = "skeletons until `prune-at`; one update there folds them into the weights; "
                   "filters without stripes lose their batch norm and bias, and `shrink` cuts "
                   "them; then fine-tuning. As published: `select threshold` and `prune-at 1`",
       .differs = "as many stripes go as are asked for (published: those below the threshold, "
                  "`select threshold`); batch norm of empty filters is silenced at the end "
                  "(published: in every step); shortcuts' convolutions and linear layers are "
                  "pruned too, a linear layer's output being one stripe (`exclude`); batch norm's "
                  "scales start as they are (published: 0.5)",
       .use_when = "Convolutions with large kernels may run as sums of shifted 1x1 convolutions, "
                   "each filter by its own shape.",
       .not_when = "Kernels are 1x1: stripes are whole filters there, and l1-filters does as well.",
       .patterns = {"stripe"}},
      {{&StripeWise::strength, "strength", {0, 10}, "", "alpha, relative to the batch's mean loss"},
       {&StripeWise::threshold, "threshold", {0, 10}, "", "a skeleton value above it is alive"},
       {&StripeWise::select,
        "select",
        {"sparsity", "threshold"},
        "remove the stripes with the smallest values down to the sparsity, or exactly what is at "
        "or below the threshold, whatever `sparsity` says"},
       allocation_option(&StripeWise::allocation, {"global", "uniform"}),
       prune_at_option(&StripeWise::prune_at)},
      [](const StripeWise& o, const PruneSettings&) -> Timeline {
        const auto learnt = std::make_shared<FormsByWeight>();
        const auto skeletons = train_under_forms(
            {.kind = "factors",
             .put_on = put_skeletons,
             .mask = nn::FoldedMask::OfWeight,
             .penalty =
                 [alpha = o.strength](
                     const nn::Form& form, const nn::Parameter&, const nn::TrainState&) {
                   return sum(abs(dynamic_cast<const nn::Factors&>(form).factors.value)) * alpha;
                 },
             .after_backward =
                 [threshold = o.threshold](const nn::FormSite& site, nn::TrainState&) {
                   cut(skeleton(*site.form()).factors, threshold);
                 },
             .folded = learnt});
        return {
            .events = {during(0.0, o.prune_at, skeletons),
                       at(one_shot_schedule(o.prune_at),
                          mask_update({.score = factor_score(learnt, OfFactors::Size),
                                       .allocation = allocation_of(
                                           o.select, o.threshold, make_allocation(o.allocation))})),
                       during(o.prune_at, o.prune_at, silence_empty_filters())},
            .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
