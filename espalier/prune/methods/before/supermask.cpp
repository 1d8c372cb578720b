// SPDX-License-Identifier: Apache-2.0
/// Supermasks by Bernoulli masks: the probability that each weight of a random network is in use is
/// all that is learnt.
///
/// Source: Zhou, Lan, Liu, Yosinski, "Deconstructing lottery tickets: zeros, signs, and the
/// supermask", arXiv 1905.01067, and its published code. The form is
/// nn/forms/bernoulli_mask.h; the paper's criteria for masks of trained networks are the method
/// `mask-criteria`. Published, plain descent with a rate of 100 moves the probabilities, because
/// their gradients have the weight as a factor, over 2000 epochs; the Adam here divides by the
/// gradients' size, so that the factor has no part, and is for trainings a hundred times shorter.
#include <cmath>

#include <espalier/nn/forms/bernoulli_mask.h>
#include <espalier/nn/module/init.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Frozen : uint8_t { SignedConstant, XavierNormal, Present };
enum class InUse : uint8_t { Sparsity, Drawn };
struct SupermaskOptions {
  Frozen start = Frozen::SignedConstant;
  double probability = 0.5;
  bool unscaled = false;
  double rate = 0.1;
  InUse select = InUse::Sparsity;
};

/// Of standard deviation sqrt(2 / (fan_in + fan_out)); a signed constant has the signs of those
/// that are there.
void set_frozen(nn::Parameter& weight, Frozen start, const Rng& rng) {
  if (start == Frozen::XavierNormal) nn::init::xavier_normal(weight, rng);
  if (start != Frozen::SignedConstant) return;
  const nn::init::Fans fans = nn::init::fans(weight.shape());
  const double size = std::sqrt(2.0 / static_cast<double>(fans.in + fans.out));
  Tensor signs = as_double(weight.value.value());
  double* w = signs.data<double>();
  for (int64_t i = 0; i < signs.numel(); ++i) w[i] = w[i] < 0.0 ? -size : size;
  weight.value.value().copy_(signs.to(weight.value.dtype()));
  weight.apply_mask();
}

void put_masks_on(const Subject& subject, const SupermaskOptions& o) {
  int64_t number = 0;
  for (const auto& [name, kept] : kept_of_each(subject, make_allocation("uniform"))) {
    nn::Parameter& weight = subject.model.parameter(name);
    set_frozen(
        weight, o.start, Rng(subject.inputs.seed, "supermask").fork(static_cast<uint64_t>(number)));
    nn::put_form(subject.model,
                 name,
                 std::make_shared<nn::BernoulliMask>(
                     weight.shape(),
                     nn::BernoulliMask::Options{.probability = o.probability,
                                                .rescaled = !o.unscaled,
                                                .kept = o.select == InUse::Sparsity ? kept : 0,
                                                .seed = subject.inputs.seed,
                                                .number = number++}));
  }
}

}  // namespace

Method supermask() {
  return make_method<SupermaskOptions>(
      {.name = "supermask",
       .title = "Supermasks by Bernoulli masks",
       .paper = "Zhou, Lan, Liu, Yosinski, arXiv 1905.01067",
       .year = 2019,
       .when = When::Before,
       .how = How::Learning,
       .idea = "A mask alone can make a random network classify. Learn for every weight how "
               "probably it should be in use, and draw the masks anew in every step.",
       .formula =
           "e = w M n / sum M, M ~ Bernoulli(sigmoid(t)), n the weights of the layer; dL/dt = "
           "dL/dM sigmoid'(t), in all places; t = 0 at first",
       .schedule = "t alone is trained, all along, by an Adam of its own; weights and biases keep "
                   "their initial values, and what is not in use at the end is removed",
       .differs =
           "t is moved by Adam (published: plain descent with a rate of 100); evaluation and "
           "the network that is left are of each layer's most probable weights, as many as "
           "the sparsity asks (published: ten draws, averaged; `select drawn`: of one draw, "
           "however many); its masks that are drawn in part and soft in part are not here",
       .use_when = "You study what a mask alone can do with random weights.",
       .not_when = "You want the best accuracy: weights stay as they were drawn.",
       .patterns = {"unstructured"}},
      {{&SupermaskOptions::start,
        "start",
        {"signed-constant", "xavier-normal", "present"},
        "weights: plus or minus one size with the signs that they have, new normal ones, or as "
        "they are"},
       {&SupermaskOptions::probability,
        "probability",
        {0.001, 0.999},
        "",
        "that a weight is in use, at first"},
       {&SupermaskOptions::unscaled,
        "unscaled",
        "weights as they are, not larger the fewer are drawn"},
       {&SupermaskOptions::rate, "mask-lr", {0, 1e6}, "", "of the probabilities' Adam"},
       {&SupermaskOptions::select,
        "select",
        {"sparsity", "drawn"},
        "in use in evaluation and at the end: the most probable, or a draw"}},
      [](const SupermaskOptions& o, const PruneSettings&) -> Timeline {
        const auto masks =
            train_under_forms({.kind = "bernoulli-mask",
                               .put_on = [o](const Subject& of) { put_masks_on(of, o); },
                               .no_target = o.select == InUse::Drawn
                                                ? "with `select drawn` the probabilities say how "
                                                  "much is in use. Take `select sparsity`"
                                                : "",
                               .own_rate = o.rate,
                               .only_forms = true,
                               .divides = true});
        return {.events = {during(0.0, 1.0, masks), at(epochs_schedule(Epochs::Last), masks)},
                .refused = no_ablation("its mask is learnt with the weights that it has")};
      });
}

}  // namespace espalier::prune::method_list
