// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/adagrad.h>

#include <utility>

#include <espalier/nn/train/detail/update_arrays.h>

namespace espalier::nn {

Adagrad::Adagrad(std::vector<ParameterGroup> groups, const AdagradOptions& options)
    : Optimizer(std::move(groups), options.lr), options_(options) {
  ESPALIER_CHECK(options.lr_decay >= 0.0 && options.initial_square >= 0.0,
                 ValueError,
                 "Adagrad: expects lr_decay and initial_square >= 0, got ",
                 options.lr_decay,
                 " and ",
                 options.initial_square);
  ESPALIER_CHECK(options.eps > 0.0, ValueError, "Adagrad: expects eps > 0, got ", options.eps);
}

Adagrad::Adagrad(Module& model, const AdagradOptions& options, double weight_decay)
    : Adagrad(parameter_groups(model, weight_decay), options) {}

void Adagrad::update(NamedParameter& parameter, ParameterState& state, double lr, double decay) {
  const auto before = static_cast<double>(state.step - 1);
  const kernels::AdagradStep step{.lr = lr / (1.0 + before * options_.lr_decay),
                                  .initial_square = options_.initial_square,
                                  .eps = options_.eps,
                                  .weight_decay = decay};
  detail::with_update_arrays(*parameter.parameter, state.slots, state.age, [&](const auto& arrays) {
    kernels::adagrad_update(arrays, step);
  });
}

}  // namespace espalier::nn
