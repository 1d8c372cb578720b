// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/admm.h>

#include <cmath>

#include <fmt/format.h>

#include <espalier/prune/ground/select.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

const std::string kTargets = "z.";      // Z in a saved state
const std::string kMultipliers = "u.";  // U

class Admm : public Action {
 public:
  Admm(const AdmmOptions& options, std::shared_ptr<Action> update, Sparsity sparsity)
      : options_(options), update_(std::move(update)), sparsity_(sparsity) {
    ESPALIER_CHECK(
        options.rounds >= 1 && options.strength > 0.0 && options.final_strength >= options.strength,
        ValueError,
        "admm: expects rounds >= 1 and 0 < strength <= final strength, got ",
        options.rounds,
        ", ",
        options.strength,
        " and ",
        options.final_strength);
  }

  ActionFacts facts() const override {
    ActionFacts facts = update_->facts();
    facts.needs_data = true;
    return facts;
  }
  const UpdateParts* parts() const override { return update_->parts(); }
  std::string refusal(const Pattern& pattern) const override { return update_->refusal(pattern); }
  void check(const Subject& subject) override { update_->check(subject); }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber number) override {
    const double distance = distance_to_targets(subject);
    UpdateReport report = update_->update(subject, rounds, number);
    if (!targets_.empty()) {
      report.notes.push_back(fmt::format(
          "weights were {:.2g} of their size away from what ADMM drew them to", distance));
    }
    return report;
  }

  void enter(const Subject& subject, nn::TrainState&) override {
    targets_.clear();
    multipliers_.clear();
    for (const nn::NamedParameter& weight : weights_of(subject)) {
      multipliers_[weight.name] = Tensor::zeros(weight.parameter->shape(), DType::F64);
    }
    project(subject);
  }

  void before_step(const Subject& subject, nn::TrainState& state) override {
    const int64_t round = round_at(state.step, state.total_steps);
    if (state.step == 0 || round == round_at(state.step - 1, state.total_steps)) return;
    project(subject);
    const double scale = strength_of(round - 1) / strength_of(round);
    for (const nn::NamedParameter& weight : weights_of(subject)) {
      const std::vector<double> w = weight.parameter->value.value().to_vector<double>();
      const double* z = targets_.at(weight.name).data<double>();
      double* u = multipliers_.at(weight.name).data<double>();
      for (size_t i = 0; i < w.size(); ++i) u[i] = scale * (u[i] + w[i] - z[i]);
    }
  }

  void after_backward(const Subject& subject, nn::TrainState& state) override {
    const double rho = strength_of(round_at(state.step, state.total_steps));
    for (const nn::NamedParameter& weight : weights_of(subject)) {
      std::vector<double> amounts = weight.parameter->value.value().to_vector<double>();
      const double* z = targets_.at(weight.name).data<double>();
      const double* u = multipliers_.at(weight.name).data<double>();
      for (size_t i = 0; i < amounts.size(); ++i) amounts[i] = rho * (amounts[i] - z[i] + u[i]);
      add_to_gradient(*weight.parameter, amounts);
    }
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> all;
    for (const auto& [name, tensor] : targets_) all[kTargets + name] = tensor;
    for (const auto& [name, tensor] : multipliers_) all[kMultipliers + name] = tensor;
    return all;
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    targets_.clear();
    multipliers_.clear();
    for (const auto& [name, tensor] : state) {
      auto& of = name.starts_with(kTargets) ? targets_ : multipliers_;
      of[name.substr(kTargets.size())] = tensor.clone();
    }
  }

 private:
  static std::vector<nn::NamedParameter> weights_of(const Subject& subject) {
    return prunable_weights(subject.model, subject.settings.exclude);
  }

  int64_t round_at(int64_t step, int64_t steps) const {
    const double way = options_.until * static_cast<double>(steps);
    const double round = static_cast<double>(step) * static_cast<double>(options_.rounds) / way;
    return std::min(guarded_floor(round), options_.rounds - 1);
  }

  double strength_of(int64_t round) const {
    if (options_.rounds == 1) return options_.strength;
    const double way = static_cast<double>(round) / static_cast<double>(options_.rounds - 1);
    return options_.strength * std::pow(options_.final_strength / options_.strength, way);
  }

  /// Z = P(W + U).
  void project(const Subject& subject) {
    const NoGrad no_grad;
    const std::unique_ptr<nn::Module> copy = subject.model.clone();
    const Subject of_copy{*copy, nullptr, subject.pattern, subject.settings, subject.inputs};
    for (const nn::NamedParameter& weight : weights_of(of_copy)) {
      std::vector<double> sum = weight.parameter->value.value().to_vector<double>();
      const double* u = multipliers_.at(weight.name).data<double>();
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += u[i];
      const Tensor both = Tensor::from(weight.parameter->shape(), sum);
      weight.parameter->value.value().copy_(both.to(weight.parameter->value.dtype()));
      targets_[weight.name] = both;
    }
    const Moment moment{.sparsity = sparsity_};
    update_->update(of_copy, {&moment, 1}, {});
    for (const nn::NamedParameter& weight : weights_of(of_copy)) {
      if (!weight.parameter->masked()) continue;
      const Tensor mask = weight.parameter->mask();
      double* z = targets_.at(weight.name).data<double>();
      for (int64_t i = 0; i < mask.numel(); ++i) z[i] *= mask.data<uint8_t>()[i] != 0 ? 1.0 : 0.0;
    }
  }

  /// ||W - Z|| / ||W||.
  double distance_to_targets(const Subject& subject) const {
    double away = 0.0;
    double size = 0.0;
    for (const nn::NamedParameter& weight : weights_of(subject)) {
      const auto target = targets_.find(weight.name);
      if (target == targets_.end()) continue;
      const std::vector<double> w = weight.parameter->value.value().to_vector<double>();
      for (size_t i = 0; i < w.size(); ++i) {
        const double z = target->second.data<double>()[i];
        away += (w[i] - z) * (w[i] - z);
        size += w[i] * w[i];
      }
    }
    return size > 0.0 ? std::sqrt(away / size) : 0.0;
  }

  AdmmOptions options_;
  std::shared_ptr<Action> update_;
  Sparsity sparsity_;
  std::map<std::string, Tensor> targets_;      // Z, float64, by weight
  std::map<std::string, Tensor> multipliers_;  // U
};

}  // namespace

std::shared_ptr<Action> admm(const AdmmOptions& options,
                             std::shared_ptr<Action> update,
                             Sparsity sparsity) {
  return std::make_shared<Admm>(options, std::move(update), sparsity);
}

}  // namespace espalier::prune
