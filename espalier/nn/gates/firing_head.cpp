// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/firing_head.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

FiringHead::FiringHead(const Options& options) : options_(options) {
  ESPALIER_CHECK(options.inputs > 0 && options.units > 0,
                 ValueError,
                 "FiringHead: expects inputs and units > 0, got ",
                 options.inputs,
                 " and ",
                 options.units);
  weight = Parameter(Tensor::empty({options.units, options.inputs}));
  bias = Parameter(Tensor::empty({options.units}));
  weight.decays = false;
  bias.decays = false;
  FiringHead::reset_parameters(default_init_rng);
}

void FiringHead::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
}

std::string FiringHead::describe() const {
  return cat("FiringHead(", options_.inputs, ", ", options_.units, ")");
}

void FiringHead::reset_parameters(const InitRng& rng) {
  constexpr double kDeviation = 0.01;
  init::normal(weight, rng("weight"), 0.0, kDeviation);
  init::constant(bias, options_.open_bias);
}

Decided FiringHead::decide(const Variable& x) {
  const Variable means = to_layout(mean(x.detach(), {2, 3}), Layout::Nchw);
  const Variable z = linear(softmax(means), weight.value, bias.value);
  Tensor open = Tensor::empty(z.shape(), z.dtype());
  const Tensor values = z.value().contiguous();
  dispatch_floating(z.dtype(), "FiringHead", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < open.numel(); ++i) {
      open.data<T>()[i] = values.data<T>()[i] > T{0} ? T{1} : T{0};
    }
  });
  return {.open = Variable(open.to(x.layout())), .price = z};
}

Variable FiringHead::look(const Variable& y) {
  return to_layout(max(relu(y.detach()), {2, 3}), Layout::Nchw);
}

DecisionKind firing_head_decision() {
  return {.name = "firing-head", .make = [](const DecisionPlace& place, const PartDescription&) {
            return std::make_shared<FiringHead>(
                FiringHead::Options{.inputs = place.inputs, .units = place.units});
          }};
}

}  // namespace espalier::nn
