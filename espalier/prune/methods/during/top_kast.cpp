// SPDX-License-Identifier: Apache-2.0
/// Top-KAST: always sparse training.
///
/// Source: Jayakumar, Pascanu, Rae, Osindero, Elsen, arXiv 2106.03517. The form is
/// nn/forms/top_kast.h. What leaves the larger set loses its momentum, so that it rests in fact.
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/top_kast.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct TopKastOptions {
  double extra = 0.1;
  int64_t frequency = 1;
  double exploration = 1e-4;
  std::string allocation = "uniform";
};

void put_top_kast(const Subject& subject, const TopKastOptions& o) {
  for (const auto& [name, kept] : kept_of_each(subject, make_allocation(o.allocation))) {
    const nn::Parameter& weight = subject.model.parameter(name);
    const auto more = std::llround(o.extra * static_cast<double>(weight.numel()));
    const auto form = std::make_shared<nn::TopKast>(
        weight.shape(),
        nn::TopKast::Counts{.forward = kept,
                            .backward = std::min<int64_t>(kept + more, weight.numel())});
    form->choose(weight);
    form->take_changes();
    nn::put_form(subject.model, name, form);
  }
}

void choose_anew(const nn::FormSite& site, nn::TrainState& state) {
  auto& form = dynamic_cast<nn::TopKast&>(*site.form());
  if (!form.choose(*site.slot.parameter)) return;
  std::map<std::string, Tensor> slots = state.optimizer.slots(site.weight);
  if (slots.empty()) return;
  for (auto& [kind, slot] : slots) {
    slot = sparse::masked(slot, sparse::Support(form.backward_mask()));
  }
  state.optimizer.set_slots(site.weight, slots);
}

}  // namespace

Method top_kast() {
  return make_method<TopKastOptions>(
      {.name = "top-kast",
       .title = "Top-KAST: always sparse training",
       .paper = "Jayakumar, Pascanu, Rae, Osindero, Elsen, arXiv 2106.03517",
       .year = 2020,
       .when = When::During,
       .idea = "Run the network with its largest weights and train a few more than these: what "
               "grows enough takes part, and neither pass is ever dense.",
       .formula =
           "e = w on A, the D n largest |w| of a layer of n; dL/dw = dL/de on B, the "
           "(D + M) n largest, the others rest; loss + c/2 (sum over A of w^2 + 1/D sum over "
           "B without A of w^2)",
       .schedule =
           "from the first step to the last A and B are chosen anew at every `frequency`-th "
           "step",
       .differs =
           "what leaves B loses its momentum (not given by the paper; ours). B is never "
           "random. The defaults of M and c are ours. The last step is taken with the choice "
           "before it, and what that chose stays",
       .use_when = "Training must be sparse and steady: masks follow the weights, and no "
                   "update is an event.",
       .not_when = "Memory is short: the weights are stored dense.",
       .patterns = {"unstructured"}},
      {{&TopKastOptions::extra, "extra", {0, 1}, "of all weights", "M, trained without being used"},
       {&TopKastOptions::frequency, "frequency", {1, 1'000'000}, "steps", "between choices"},
       {&TopKastOptions::exploration,
        "exploration",
        {0, 1000},
        "",
        "c, in the place of the optimizer's weight decay"},
       allocation_option(&TopKastOptions::allocation,
                         {"uniform", "uniform-dense-first", "er", "erk"})},
      [](const TopKastOptions& o, const PruneSettings&) -> Timeline {
        const auto wider = train_under_forms(
            {.kind = "top-kast",
             .put_on = [o](const Subject& of) { put_top_kast(of, o); },
             .decay_in_penalty = true,
             .divides = true,
             .penalty =
                 [c = o.exploration](
                     const nn::Form& form, const nn::Parameter& weight, const nn::TrainState&) {
                   return dynamic_cast<const nn::TopKast&>(form).exploration(weight) * c;
                 },
             .before_step =
                 [every = o.frequency](const nn::FormSite& site, nn::TrainState& state) {
                   if (state.step % every == 0) choose_anew(site, state);
                 },
             .take_changes =
                 [](nn::Form& form, const nn::Parameter&) {
                   return dynamic_cast<nn::TopKast&>(form).take_changes();
                 }});
        return {.events = {during(0.0, 1.0, wider),
                           at(epochs_schedule(Epochs::BeforeTheLast), wider),
                           at(epochs_schedule(Epochs::Last), wider)},
                .refused = no_ablation("its mask follows the weights from step to step")};
      });
}

}  // namespace espalier::prune::method_list
