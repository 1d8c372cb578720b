// SPDX-License-Identifier: Apache-2.0
/// edge-popup: a subnetwork of a network that is never trained.
///
/// Source: Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari, "What's hidden in a randomly weighted
/// neural network?", arXiv 1911.13299, and its published code, which ranks |s|. The form is
/// nn/forms/supermask.h. The published code scales initial weights by the removed fraction where it
/// means the kept one (the same at a half, its setting); here it is the kept one.
#include <cmath>

#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/module/init.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Start : uint8_t { SignedConstant, KaimingNormal, Present };
struct EdgePopup {
  Start start = Start::SignedConstant;
  bool unscaled = false;
};

/// Initial values of a weight of which a part is used: of standard deviation sqrt(2 / fan_in), the
/// fan being that of the part.
void set_weights(nn::Parameter& weight, const EdgePopup& o, double density, const Rng& rng) {
  if (o.start == Start::Present) return;
  const auto fan = static_cast<double>(nn::init::fans(weight.shape()).in);
  const double size = std::sqrt(2.0 / (fan * (o.unscaled ? 1.0 : density)));
  if (o.start == Start::KaimingNormal) {
    nn::init::normal(weight, rng, 0.0, size);
  } else {
    const std::vector<double> now = weight.value.value().to_vector<double>();
    Tensor signs = Tensor::empty(weight.shape(), DType::F64);
    for (size_t i = 0; i < now.size(); ++i) {
      signs.data<double>()[i] = now[i] < 0.0 ? -size : size;
    }
    weight.value.value().copy_(signs.to(weight.value.dtype()));
  }
  weight.apply_mask();
}

void put_on(const Subject& subject, const EdgePopup& o) {
  uint64_t number = 0;
  for (const auto& [name, kept] : kept_of_each(subject, make_allocation("uniform"))) {
    nn::Parameter& weight = subject.model.parameter(name);
    const Rng rng = Rng(subject.inputs.seed, "edge-popup").fork(number++);
    const auto form = std::make_shared<nn::Supermask>(weight.shape(), kept);
    form->reset_parameters([&](std::string_view) { return rng.fork(0); });
    const double density = static_cast<double>(kept) / static_cast<double>(weight.nnz());
    set_weights(weight, o, density, rng.fork(1));
    nn::put_form(subject.model, name, form);
  }
}

}  // namespace

Method edge_popup() {
  return make_method<EdgePopup>(
      {.name = "edge-popup",
       .title = "edge-popup: supermasks of random weights",
       .paper = "Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari, arXiv 1911.13299",
       .year = 2020,
       .when = When::Before,
       .how = How::Learning,
       .idea = "A large random network holds small ones that work untrained. Give every weight a "
               "score, use those with the largest, and train the scores.",
       .formula = "e = w m, m = 1 where |s| is among the k largest of its layer; dL/ds = dL/de w "
                  "sign(s), in all places",
       .schedule = "scores alone are trained, all along, by the training's optimizer with its "
                   "rate and decay (published: 0.1, 1e-4); weights keep their initial values, and "
                   "what is not in use at the end is removed",
       .differs = "biases and batch norm's scales and shifts are there, but keep their initial "
                  "values (published: none); k is rounded to the nearest; weights are scaled by "
                  "the kept fraction (the published code: the removed one)",
       .use_when = "Weights must stay as they were drawn, so that a seed stores them, and only a "
                   "mask is learnt.",
       .not_when = "Weights may be trained, or the network is narrow: it needs many random "
                   "weights to choose from.",
       .patterns = {"unstructured"}},
      {{&EdgePopup::start,
        "start",
        {"signed-constant", "kaiming-normal", "present"},
        "weights: plus or minus one size with the signs that they have, new normal ones, or as "
        "they are"},
       {&EdgePopup::unscaled,
        "unscaled",
        "initial weights as if all of a layer were in use, not the kept fraction"}},
      [](const EdgePopup& o, const PruneSettings&) -> Timeline {
        const auto scores = train_under_forms({.kind = "supermask",
                                               .put_on = [o](const Subject& of) { put_on(of, o); },
                                               .only_forms = true,
                                               .divides = true});
        return {.events = {during(0.0, 1.0, scores), at(epochs_schedule(Epochs::Last), scores)},
                .refused = no_ablation("its mask is learnt with the weights that it has")};
      });
}

}  // namespace espalier::prune::method_list
