// SPDX-License-Identifier: Apache-2.0
/// SR-STE: learning N:M sparse networks from scratch.
///
/// Source: Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li, "Learning N:M fine-grained structured sparse
/// neural networks from scratch", arXiv 2102.04010, equation 9. The form is
/// nn/forms/straight_through.h: the stored weights stay dense, their choice is multiplied with.
/// Every layer with enough inputs gets the pattern, the classifier too, as the asked sparsity
/// counts it everywhere here; the paper keeps it dense (`exclude fc` does).
#include <algorithm>

#include <espalier/nn/forms/straight_through.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct SrSte {
  double sparse_decay = 2e-4;
};

void put_on(const Subject& subject, double decay) {
  std::vector<std::string> notes;  // come with the first report
  const auto weights = prunable_weights(subject.model, subject.settings.exclude);
  for (const nn::NamedParameter& weight : fitting_weights(weights, subject.pattern, notes)) {
    const Shape& shape = weight.parameter->shape();
    const Pattern& pattern = subject.pattern.of(weight.name);
    const UnitCell cell = pattern.cell();
    const std::vector<int32_t> units = pattern.units(shape).of_weight;
    const int64_t together = std::ranges::count(units, units.front());  // outputs with one choice
    nn::put_form(subject.model,
                 weight.name,
                 std::make_shared<nn::StraightThrough>(
                     shape,
                     nn::StraightThrough::Options{
                         .pattern = {.keep = cell.keep, .of = cell.size, .group = together},
                         .decay = decay}));
  }
}

}  // namespace

Method sr_ste() {
  return make_method<SrSte>(
      {.name = "sr-ste",
       .title = "SR-STE: N:M sparsity from scratch",
       .paper = "Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li, arXiv 2102.04010",
       .year = 2021,
       .when = When::During,
       .idea = "Keep dense weights, run the network with the N largest of every M, give the "
               "gradient of the sparse network to all weights, and let those that are out decay, "
               "so that the choice settles.",
       .formula = "e = m w, m the N largest |w| of every M input channels; w <- w - lr (dL/de + "
                  "lambda (1 - m) w), and the optimizer's weight decay on all",
       .schedule = "from the first step to the last the mask follows the weights in every step; "
                   "reports tell how many entries changed in an epoch",
       .differs = "every layer with enough inputs gets the pattern, the classifier too (published: "
                  "dense, `exclude fc`)",
       .use_when = "The hardware runs N:M (2:4), and the network is trained from the start.",
       .not_when = "The engine runs no N:M, or a trained network shall only be fine-tuned.",
       .patterns = {"2:4", "1:4", "4:8", "2:4g4"}},
      {{&SrSte::sparse_decay,
        "sparse-decay",
        {0, 1},
        "",
        "lambda, on the weights that are out; 0: straight-through alone"}},
      [](const SrSte& o, const PruneSettings&) -> Timeline {
        const auto follow = train_under_forms(
            {.kind = "straight-through",
             .put_on = [decay = o.sparse_decay](const Subject& of) { put_on(of, decay); },
             .take_changes =
                 [](nn::Form& form, const nn::Parameter& weight) {
                   return dynamic_cast<nn::StraightThrough&>(form).take_flips(weight);
                 }});
        return {.events = {during(0.0, 1.0, follow),
                           at(epochs_schedule(Epochs::BeforeTheLast), follow),
                           at(epochs_schedule(Epochs::Last), follow)},
                .refused = no_ablation("its mask follows the weights from step to step")};
      });
}

}  // namespace espalier::prune::method_list
