// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/gate_ticks.h>

#include <algorithm>
#include <cmath>

#include <espalier/prune/scores/norm_scale.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

constexpr double kMostShift = 10.0;  // of the published code, in scales

std::string layer_of_name(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot + 1);
}

class GateTicks : public Action {
 public:
  explicit GateTicks(std::shared_ptr<GateSums> sums) : sums_(std::move(sums)) {}

  ActionFacts facts() const override { return {.needs_data = true, .needs_norm = true}; }

  void check(const Subject& subject) override {
    const std::vector<nn::NamedParameter> scales = norm_scales(subject.model);
    const MaskUpdate places(
        subject.model, subject.pattern, subject.settings, subject.inputs, SiteRules{});
    ESPALIER_CHECK(
        std::ranges::any_of(places.sites(),
                            [&](const Site& site) { return has_norm_scale(site, scales); }),
        ValueError,
        "prune: needs batch norm behind convolutions, whose scales are its gates; no channel of "
        "this model that may go has one. Choose another method (l1-filters, taylor), or a model "
        "with batch norm (vgg16, resnet20)");
  }

  void enter(const Subject&, nn::TrainState&) override { sums_->clear(); }

  void after_backward(const Subject&, nn::TrainState& state) override {
    const std::vector<nn::NamedParameter> parameters = state.model.named_parameters();
    for (const nn::NamedParameter& scale : norm_scales(state.model)) {
      const std::string shift = layer_of_name(scale.name) + "bias";
      const auto found = std::ranges::find(parameters, shift, &nn::NamedParameter::name);
      if (found != parameters.end()) add(scale, *found->parameter);
    }
    leave_convolutions(parameters);
  }

  std::map<std::string, Tensor> state() const override { return *sums_; }
  void load_state(const std::map<std::string, Tensor>& state) override {
    sums_->clear();
    for (const auto& [name, tensor] : state) (*sums_)[name] = tensor.clone();
  }

 private:
  void add(const nn::NamedParameter& scale, const nn::Parameter& shift) {
    if (!scale.parameter->value.grad().defined() || !shift.value.grad().defined()) return;
    const auto gamma = scale.parameter->value.value().to_vector<double>();
    const auto beta = shift.value.value().to_vector<double>();
    const auto of_gamma = scale.parameter->value.grad().value().to_vector<double>();
    const auto of_beta = shift.value.grad().value().to_vector<double>();
    Tensor& sum = (*sums_)[scale.name];
    if (!sum.defined()) sum = Tensor::zeros(scale.parameter->shape(), DType::F64);
    for (size_t c = 0; c < gamma.size(); ++c) {
      sum.data<double>()[c] += gate_taylor(gamma[c], beta[c], of_gamma[c], of_beta[c]);
    }
  }

  /// No optimizer moves what has no gradient, neither by momentum nor by weight decay.
  static void leave_convolutions(const std::vector<nn::NamedParameter>& parameters) {
    for (const nn::NamedParameter& weight : parameters) {
      if (weight.parameter->shape().rank() < 3) continue;
      const std::string layer = layer_of_name(weight.name);
      for (const nn::NamedParameter& one : parameters) {
        if (layer_of_name(one.name) == layer) one.parameter->value.zero_grad();
      }
    }
  }

  std::shared_ptr<GateSums> sums_;
};

class GateTicksScore : public Score {
 public:
  explicit GateTicksScore(std::shared_ptr<const GateSums> sums) : sums_(std::move(sums)) {}

  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }

  std::vector<Tensor> compute(const ScoreContext&) override {
    throw NotImplemented("gate ticks: a score of channels, not of weights");
  }

  std::vector<std::vector<double>> score_units(const ScoreContext& context,
                                               std::span<const Site> sites) override {
    if (sums_->empty() && context.notes != nullptr) {
      context.notes->emplace_back("no step of a tick was trained: all channels count alike");
    }
    std::vector<std::vector<double>> scores;
    for (const Site& site : sites) {
      scores.emplace_back(static_cast<size_t>(site.units), 0.0);
      for (const SitePart& part : site.parts) {
        const auto found = sums_->find(part.name);
        if (found == sums_->end()) continue;
        for (int64_t c = 0; c < found->second.numel(); ++c) {
          const int64_t unit = part.units.unit(c);
          if (unit < 0) continue;
          scores.back()[static_cast<size_t>(unit)] += found->second.data<double>()[c];
        }
      }
    }
    return scores;
  }

 private:
  std::shared_ptr<const GateSums> sums_;
};

}  // namespace

double gate_taylor(double scale, double shift, double of_scale, double of_shift) {
  if (scale == 0.0) return 0.0;  // phi is
  const double bias = std::clamp(shift / scale, -kMostShift, kMostShift);
  return std::abs(scale * (of_scale + bias * of_shift));
}

std::shared_ptr<Action> gate_ticks(std::shared_ptr<GateSums> sums) {
  return std::make_shared<GateTicks>(std::move(sums));
}

std::unique_ptr<Score> gate_ticks_score(std::shared_ptr<const GateSums> sums) {
  return std::make_unique<GateTicksScore>(std::move(sums));
}

}  // namespace espalier::prune
