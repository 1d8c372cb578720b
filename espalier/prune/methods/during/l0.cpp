// SPDX-License-Identifier: Apache-2.0
/// L0 regularization: a stochastic gate on every weight or channel, and a penalty on the
/// probability that it is open.
///
/// Source: Louizos, Welling, Kingma, "Learning sparse neural networks through L0 regularization",
/// arXiv 1712.01312. The form is nn/forms/hard_concrete.h. A channel's gate multiplies the weights
/// that read it (as the published code does for linear layers): it then stands behind batch norm,
/// which would undo a gate on filters, and can be folded into those weights exactly. Pattern
/// `filter` is the published code's gate on the filters of convolutions; with batch norm behind,
/// only its price is left to tell filters apart, so it is for networks without. Gates have an Adam
/// of their own, faster than the paper's 1e-3 because its trainings are a hundred times longer.
/// Their L2 penalty is the expected one, in place of the optimizer's weight decay. Evaluation is of
/// the newest weights: a moving average over them, as published, needs more epochs than the
/// trainings here have.
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct L0 {
  double lambda = 0.1;
  double gate_decay = 5e-4;
  double drop_rate = 0.5;
  double gate_lr = 0.01;
  Select select = Select::Sparsity;
  std::string allocation = "global";
  double prune_at = 0.5;
};

}  // namespace

Method l0() {
  return make_method<L0>(
      {.name = "l0",
       .title = "L0 regularization with hard concrete gates",
       .paper = "Louizos, Welling, Kingma, arXiv 1712.01312",
       .year = 2018,
       .when = When::During,
       .how = How::Learning,
       .idea = "Multiply every weight, or channel, by a random gate that is exactly 0 or 1 most of "
               "the time but has a gradient, and penalize the probability that it is open.",
       .formula = "z = clip(1.2 * sigmoid((log u - log(1-u) + log a) * 3/2) - 0.1, 0, 1); loss + "
                  "sum P(z != 0) (lambda/N |g| + decay/2 ||w_g||^2), P(z != 0) = sigmoid(log a + "
                  "1.5986), |g| the weights that the gate multiplies; score log a",
       .schedule = "gates until `prune-at`, one update there that folds the open gates into the "
                   "weights, then fine-tuning without gates",
       .differs = "a channel's gate multiplies the weights that read it, behind batch norm; gates "
                  "have an Adam of their own, faster than published, for trainings a hundred times "
                  "shorter; weights are not averaged over time for evaluation",
       .use_when = "The network shall learn by gates what to keep, in a training of some hundred "
                   "epochs.",
       .not_when = "The training is short: it ended among the lowest in our runs (methods.md).",
       .patterns = {"unstructured", "channel", "filter"}},
      {{&L0::lambda, "lambda", {0, 1e9}, "", "price of a weight, divided by N"},
       {&L0::gate_decay, "gate-decay", {0, 10}, "", "expected L2, in place of weight decay"},
       {&L0::drop_rate, "drop-rate", {0.001, 0.999}, "", "share of gates closed at first"},
       {&L0::gate_lr, "gate-lr", {0, 10}, "", "of the gates' Adam"},
       {&L0::select,
        "select",
        {"sparsity", "zeros"},
        "remove the units with the lowest gates down to the sparsity, or exactly those whose "
        "test-time gate is 0"},
       allocation_option(&L0::allocation, {"global", "uniform"}),
       prune_at_option(&L0::prune_at)},
      [](const L0& o, const PruneSettings&) -> Timeline {
        const auto learnt = std::make_shared<FormsByWeight>();
        const auto gates = train_under_forms(
            {.kind = "hard-concrete",
             .put_on = [rate = o.drop_rate](const Subject& of) { put_hard_concrete(of, rate); },
             .mask = nn::FoldedMask::OfWeight,
             .own_rate = o.gate_lr,
             .decay_in_penalty = true,
             .penalty =
                 [o](const nn::Form& form, const nn::Parameter& weight, const nn::TrainState& at) {
                   return dynamic_cast<const nn::HardConcrete&>(form).penalty(
                       weight, o.lambda / training_samples(at), o.gate_decay);
                 },
             .after_step =
                 [](const nn::FormSite& site, nn::TrainState&) {
                   dynamic_cast<nn::HardConcrete&>(*site.form()).clamp();
                 },
             .folded = learnt});
        const auto log_alpha = [](const nn::Form& form, const Shape& weight) {
          return dynamic_cast<const nn::HardConcrete&>(form).log_alpha_of_entries(weight);
        };
        return {.events = {during(0.0, o.prune_at, gates),
                           at(one_shot_schedule(o.prune_at),
                              mask_update(
                                  {.score = form_score(learnt, log_alpha),
                                   .allocation = allocation_of(o.select,
                                                               nn::hard_concrete::kClosedLogAlpha,
                                                               make_allocation(o.allocation))}))},
                .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
