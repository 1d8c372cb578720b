// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/rmsprop.h>

#include <utility>

#include <espalier/nn/train/detail/update_arrays.h>

namespace espalier::nn {

RmsProp::RmsProp(std::vector<ParameterGroup> groups, const RmsPropOptions& options)
    : Optimizer(std::move(groups), options.lr), options_(options) {
  ESPALIER_CHECK(options.alpha >= 0.0 && options.alpha < 1.0,
                 ValueError,
                 "RmsProp: expects 0 <= alpha < 1, got ",
                 options.alpha);
  ESPALIER_CHECK(options.momentum >= 0.0 && options.momentum < 1.0,
                 ValueError,
                 "RmsProp: expects 0 <= momentum < 1, got ",
                 options.momentum);
  ESPALIER_CHECK(options.eps > 0.0, ValueError, "RmsProp: expects eps > 0, got ", options.eps);
}

RmsProp::RmsProp(Module& model, const RmsPropOptions& options, double weight_decay)
    : RmsProp(parameter_groups(model, weight_decay), options) {}

std::vector<std::string> RmsProp::slot_kinds(const NamedParameter&) const {
  std::vector<std::string> kinds = {"square_avg"};
  if (options_.momentum > 0.0) kinds.emplace_back("momentum_buffer");
  if (options_.centered) kinds.emplace_back("grad_avg");
  return kinds;
}

void RmsProp::update(NamedParameter& parameter, ParameterState& state, double lr, double decay) {
  const kernels::RmsPropStep step{.lr = lr,
                                  .alpha = options_.alpha,
                                  .eps = options_.eps,
                                  .momentum = options_.momentum,
                                  .weight_decay = decay,
                                  .centered = options_.centered};
  detail::with_update_arrays(*parameter.parameter, state.slots, state.age, [&](const auto& arrays) {
    kernels::rmsprop_update(arrays, step);
  });
}

}  // namespace espalier::nn
