// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/module/init.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

class SetWeights : public Action {
 public:
  explicit SetWeights(std::function<void(const Subject&)> set) : set_(std::move(set)) {}

  void enter(const Subject& subject, nn::TrainState& state) override {
    const NoGrad no_grad;
    set_(subject);
    for (const nn::NamedParameter& one : subject.model.named_parameters()) {
      one.parameter->apply_mask();
    }
    state.optimizer.load_state_dict({});
  }

 private:
  std::function<void(const Subject&)> set_;
};

}  // namespace

std::shared_ptr<Action> set_weights(std::function<void(const Subject&)> set) {
  return std::make_shared<SetWeights>(std::move(set));
}

void draw_afresh(const Subject& subject) {
  if (subject.inputs.fresh_model) {
    set_fresh_values(subject.model, subject.inputs, 1);
  } else {
    nn::init_parameters(subject.model, subject.inputs.seed + 1);
  }
}

void make_orthogonal(const Subject& subject) {
  uint64_t number = 0;
  for (const nn::NamedParameter& weight : prunable_weights(subject.model)) {
    const nn::FormSite site = nn::form_site(subject.model, weight.name);
    nn::init::orthogonal_convolution(
        *weight.parameter, Rng(subject.inputs.seed, "orthogonal").fork(number++), site.slot.groups);
    for (const nn::NamedParameter& one : site.module->named_parameters()) {
      if (one.name == "bias") nn::init::zeros(*one.parameter);
    }
  }
}

}  // namespace espalier::prune
