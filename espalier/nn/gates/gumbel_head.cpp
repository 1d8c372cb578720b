// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/gumbel_head.h>

#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {
namespace {

/// log u - log(1 - u) for uniform u.
Tensor logistic_noise(const Shape& shape, DType dtype, Rng& rng) {
  constexpr double kLeast = 1e-7;  // u may be 0
  Tensor out = Tensor::empty(shape, dtype);
  fill_uniform_(out, rng);
  dispatch_floating(dtype, "GumbelHead", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < out.numel(); ++i) {
      const double u = std::max(static_cast<double>(out.data<T>()[i]), kLeast);
      out.data<T>()[i] = static_cast<T>(std::log(u) - std::log1p(-u));
    }
  });
  return out;
}

}  // namespace

GumbelHead::GumbelHead(const Options& options)
    : noise(default_init_rng("noise")), options_(options) {
  ESPALIER_CHECK(options.inputs > 0 && options.units > 0 && options.hidden > 0,
                 ValueError,
                 "GumbelHead: expects inputs, units and hidden > 0, got ",
                 options.inputs,
                 ", ",
                 options.units,
                 " and ",
                 options.hidden);
  hidden = Parameter(Tensor::empty({options.hidden, options.inputs}));
  scale = Parameter(Tensor::empty({options.hidden}));
  shift = Parameter(Tensor::empty({options.hidden}));
  running_mean = Tensor::zeros({options.hidden});
  running_var = Tensor::ones({options.hidden});
  weight = Parameter(Tensor::empty({2 * options.units, options.hidden}));
  bias = Parameter(Tensor::empty({2 * options.units}));
  GumbelHead::reset_parameters(default_init_rng);
}

void GumbelHead::visit(MemberVisitor& visitor) {
  visitor.parameter("hidden", hidden);
  visitor.parameter("scale", scale);
  visitor.parameter("shift", shift);
  visitor.buffer("running_mean", running_mean);
  visitor.buffer("running_var", running_var);
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  visitor.rng("noise", noise);
}

std::string GumbelHead::describe() const {
  return cat("GumbelHead(", options_.inputs, ", ", options_.hidden, ", ", options_.units, ")");
}

void GumbelHead::reset_parameters(const InitRng& rng) {
  constexpr double kDeviation = 0.001;
  init::normal(hidden, rng("hidden"), 0.0, std::sqrt(2.0 / static_cast<double>(options_.hidden)));
  init::constant(scale, 1.0);
  init::constant(shift, 0.0);
  running_mean.fill_(0.0);
  running_var.fill_(1.0);
  init::normal(weight, rng("weight"), 0.0, kDeviation);
  init::constant(bias, options_.open_bias);
  bias.value.value().slice(0, 0, options_.units).fill_(options_.closed_bias);
}

std::map<std::string, double> GumbelHead::settings() const {
  return {{"inputs", static_cast<double>(options_.inputs)},
          {"hidden", static_cast<double>(options_.hidden)}};
}

Decided GumbelHead::decide(const Variable& x) {
  RunningStats running{running_mean, running_var};
  const Variable means = to_layout(mean(x, {2, 3}), Layout::Nchw);
  const Variable h = relu(
      batch_norm(linear(means, hidden.value),
                 scale.value,
                 shift.value,
                 &running,
                 {.training = training(), .momentum = options_.momentum, .eps = options_.eps}));
  const Variable logits = linear(h, weight.value, bias.value);
  const int64_t units = options_.units;
  Variable odds = slice(logits, 1, units, 2 * units) - slice(logits, 1, 0, units);
  if (draws && training()) {
    odds = odds + Variable(logistic_noise(odds.shape(), odds.dtype(), noise));
  }
  const Variable open = to_layout(step_ste(sigmoid(odds) + -0.5), x.layout());
  return {.open = open, .price = open};
}

std::optional<BlockRule> GumbelHead::block_rule() const {
  if (options_.units != 1) return {};
  std::vector<double> v = hidden.value.value().to_vector<double>();
  std::vector<double> factor = scale.value.value().to_vector<double>();
  std::vector<double> constant = shift.value.value().to_vector<double>();
  const std::vector<double> mean = running_mean.to_vector<double>();
  const std::vector<double> var = running_var.to_vector<double>();
  const auto inputs = static_cast<size_t>(options_.inputs);
  for (size_t h = 0; h < factor.size(); ++h) {
    factor[h] /= std::sqrt(var[h] + options_.eps);
    constant[h] -= factor[h] * mean[h];
    for (size_t c = 0; c < inputs; ++c) v[h * inputs + c] *= factor[h];
  }
  return BlockRule{.hidden = Tensor::from(hidden.shape(), v).to(DType::F32),
                   .hidden_bias = Tensor::from(shift.shape(), constant).to(DType::F32),
                   .weight = weight.value.value(),
                   .bias = bias.value.value(),
                   .least = least_open_logit()};
}

DecisionKind gumbel_head_decision() {
  return {
      .name = "gumbel-head",
      .make = [](const DecisionPlace& place, const PartDescription& description) {
        constexpr int64_t kMostInputs = 1 << 20;
        return std::make_shared<GumbelHead>(GumbelHead::Options{
            .inputs = place.inputs > 0 ? place.inputs : description.whole("inputs", 1, kMostInputs),
            .units = place.units,
            .hidden = description.whole("hidden", 1, kMostInputs)});
      }};
}

}  // namespace espalier::nn
