// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <espalier/nn/train/detail/update_arrays.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::nn {

Sgd::Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options)
    : Optimizer(std::move(groups), options.lr), options_(options) {
  ESPALIER_CHECK(options.momentum >= 0.0 && options.momentum < 1.0,
                 ValueError,
                 "Sgd: expects 0 <= momentum < 1, got ",
                 options.momentum);
  ESPALIER_CHECK(!options.nesterov || options.momentum > 0.0,
                 ValueError,
                 "Sgd: Nesterov's rule needs momentum > 0, got ",
                 options.momentum);
}

Sgd::Sgd(Module& model, const SgdOptions& options, double weight_decay)
    : Sgd(parameter_groups(model, weight_decay), options) {}

std::vector<std::string> Sgd::slot_kinds(const NamedParameter&) const {
  if (options_.momentum > 0.0) return {"momentum_buffer"};
  return {};
}

void Sgd::update(NamedParameter& parameter, ParameterState& state, double lr, double decay) {
  const kernels::SgdStep step{.lr = lr,
                              .momentum = options_.momentum,
                              .weight_decay = decay,
                              .nesterov = options_.nesterov};
  detail::with_update_arrays(*parameter.parameter, state.slots, state.age, [&](const auto& arrays) {
    kernels::sgd_update(arrays, step);
  });
}

}  // namespace espalier::nn
