// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/detail/update_arrays.h>

namespace espalier::nn {

namespace {

AdamOptions decoupled(AdamOptions options) {
  options.decoupled_decay = true;
  return options;
}

}  // namespace

Adam::Adam(std::vector<ParameterGroup> groups, const AdamOptions& options)
    : Optimizer(std::move(groups), options.lr), options_(options) {
  for (const double beta : {options.beta1, options.beta2}) {
    ESPALIER_CHECK(
        beta >= 0.0 && beta < 1.0, ValueError, "Adam: expects 0 <= beta < 1, got ", beta);
  }
  ESPALIER_CHECK(options.eps > 0.0, ValueError, "Adam: expects eps > 0, got ", options.eps);
}

Adam::Adam(Module& model, const AdamOptions& options, double weight_decay)
    : Adam(parameter_groups(model, weight_decay), options) {}

std::vector<std::string> Adam::slot_kinds(const NamedParameter&) const {
  if (options_.amsgrad) return {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
  return {"exp_avg", "exp_avg_sq"};
}

void Adam::update(NamedParameter& parameter, ParameterState& state, double lr, double decay) {
  if (state.age.defined()) {
    kernels::extend_corrections(corrections_, options_.beta1, options_.beta2, state.step);
  }
  const kernels::AdamStep step{.lr = lr,
                               .beta1 = options_.beta1,
                               .beta2 = options_.beta2,
                               .eps = options_.eps,
                               .weight_decay = decay,
                               .decoupled_decay = options_.decoupled_decay,
                               .step = state.step,
                               .corrections = corrections_};
  detail::with_update_arrays(*parameter.parameter, state.slots, state.age, [&](const auto& arrays) {
    kernels::adam_update(arrays, step);
  });
}

AdamW::AdamW(std::vector<ParameterGroup> groups, AdamOptions options)
    : Adam(std::move(groups), decoupled(options)) {}

AdamW::AdamW(Module& model, AdamOptions options, double weight_decay)
    : Adam(model, decoupled(options), weight_decay) {}

}  // namespace espalier::nn
