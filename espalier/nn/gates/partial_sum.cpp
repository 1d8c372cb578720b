// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/partial_sum.h>

#include <cmath>

#include <espalier/autograd/ops.h>

namespace espalier::nn {

PartialSum::PartialSum(const Options& options) : options_(options) {
  ESPALIER_CHECK(options.channels > 0 && options.slope > 0.0,
                 ValueError,
                 "PartialSum: expects channels > 0 and slope > 0, got ",
                 options.channels,
                 " and ",
                 options.slope);
  threshold = Parameter(Tensor::zeros({options.channels}));
  threshold.decays = false;
  running_mean = Tensor::zeros({options.channels});
  running_var = Tensor::ones({options.channels});
}

void PartialSum::visit(MemberVisitor& visitor) {
  visitor.parameter("threshold", threshold);
  visitor.buffer("running_mean", running_mean);
  visitor.buffer("running_var", running_var);
}

std::string PartialSum::describe() const {
  return cat("PartialSum(", options_.channels, ")");
}

std::map<std::string, double> PartialSum::settings() const {
  return {{"slope", options_.slope}, {"sparse_back", options_.sparse_back ? 1.0 : 0.0}};
}

Decided PartialSum::decide(const Variable& partial) {
  RunningStats running{running_mean, running_var};
  const auto constant = [&](double value) {
    Tensor values = Tensor::empty({options_.channels}, partial.dtype());
    values.fill_(value);
    return Variable(values);
  };
  const Variable normalized =
      batch_norm(partial,
                 constant(1.0),
                 constant(0.0),
                 &running,
                 {.training = training(), .momentum = options_.momentum, .eps = options_.eps});
  const Variable above =
      (normalized - reshape(threshold.value, {1, options_.channels, 1, 1})) * options_.slope;
  const Variable open = step_ste(sigmoid(above) + -0.5);
  // Times its own value: the same ones and zeros, but no gradient where it is 0.
  return {.open = options_.sparse_back ? open * open.detach() : open};
}

std::optional<std::vector<float>> PartialSum::least_partial_sums() const {
  std::vector<float> out;
  for (int64_t k = 0; k < options_.channels; ++k) {
    const double spread = std::sqrt(running_var.at({k}) + options_.eps);
    out.push_back(
        static_cast<float>(running_mean.at({k}) + threshold.value.value().at({k}) * spread));
  }
  return out;
}

double normal_threshold(double share) {
  constexpr double kMost = 4.0;
  double low = -kMost;
  double high = kMost;
  for (int halving = 0; halving < 60; ++halving) {
    const double middle = 0.5 * (low + high);
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < share ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

DecisionKind partial_sum_decision() {
  return {.name = "partial-sum",
          .make = [](const DecisionPlace& place, const PartDescription& description) {
            constexpr double kMostSlope = 1e6;
            return std::make_shared<PartialSum>(PartialSum::Options{
                .channels = place.units,
                .slope = description.number("slope", 0.0, kMostSlope),
                .sparse_back = description.number("sparse_back", 0.0, 1.0) != 0.0});
          }};
}

}  // namespace espalier::nn
