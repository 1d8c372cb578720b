// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/head.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

Head::Head(const Options& options) : noise(default_init_rng("noise")), options_(options) {
  ESPALIER_CHECK(options.inputs > 0 && options.units > 0,
                 ValueError,
                 "Head: expects inputs and units > 0, got ",
                 options.inputs,
                 " and ",
                 options.units);
  weight = Parameter(Tensor::empty({options.units, options.inputs}));
  bias = Parameter(Tensor::empty({options.units}));
  Head::reset_parameters(default_init_rng);
}

void Head::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  visitor.rng("noise", noise);
}

std::string Head::describe() const {
  return cat("Head(", options_.inputs, ", ", options_.units, ")");
}

void Head::reset_parameters(const InitRng& rng) {
  constexpr double kDeviation = 0.001;
  init::normal(weight, rng("weight"), 0.0, kDeviation);
  init::constant(bias, options_.open_bias);
}

std::map<std::string, double> Head::settings() const {
  return {{"inputs", static_cast<double>(options_.inputs)}, {"open_bias", options_.open_bias}};
}

Decided Head::decide(const Variable& x) {
  const Variable p = sigmoid(linear(mean(x, {2, 3}), weight.value, bias.value));
  if (!draws || !training()) return {.open = step_ste(p + -0.5), .price = p};
  Tensor drawn = Tensor::empty(p.shape(), p.dtype());
  fill_uniform_(drawn, noise);
  return {.open = step_ste(p.detach() - Variable(drawn.to(p.layout()))), .price = p};
}

std::optional<BlockRule> Head::block_rule() const {
  if (options_.units != 1) return {};
  return BlockRule{
      .weight = weight.value.value(), .bias = bias.value.value(), .least = least_open_logit()};
}

DecisionKind head_decision() {
  return {
      .name = "head", .make = [](const DecisionPlace& place, const PartDescription& description) {
        constexpr int64_t kMostInputs = 1 << 20;
        constexpr double kMostBias = 1e6;
        return std::make_shared<Head>(Head::Options{
            .inputs = place.inputs > 0 ? place.inputs : description.whole("inputs", 1, kMostInputs),
            .units = place.units,
            .open_bias = description.number("open_bias", -kMostBias, kMostBias)});
      }};
}

}  // namespace espalier::nn
