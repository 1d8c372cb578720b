// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/admm.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/prune/ground/select.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

std::vector<nn::NamedParameter> weights_of(const Subject& subject) {
  return prunable_weights(subject.model, subject.settings.exclude);
}

/// How a constraint draws one weight.
struct Pull {
  Tensor target;      // Z, float64
  Tensor multiplier;  // U
};

/// A constraint and the weights that it binds.
struct Drawn {
  AdmmConstraint constraint;
  std::map<std::string, Pull> pulls;  // by weight
};

class Admm : public Action {
 public:
  Admm(const AdmmOptions& options,
       std::vector<AdmmConstraint> constraints,
       std::shared_ptr<Action> update)
      : options_(options), update_(std::move(update)) {
    ESPALIER_CHECK(
        options.rounds >= 1 && options.strength > 0.0 && options.final_strength >= options.strength,
        ValueError,
        "admm: expects rounds >= 1 and 0 < strength <= final strength, got ",
        options.rounds,
        ", ",
        options.strength,
        " and ",
        options.final_strength);
    for (AdmmConstraint& one : constraints) drawn_.push_back({std::move(one), {}});
  }

  ActionFacts facts() const override {
    ActionFacts facts = update_->facts();
    facts.needs_data = true;
    return facts;
  }
  const UpdateParts* parts() const override { return update_->parts(); }
  std::string refusal(const Pattern& pattern) const override { return update_->refusal(pattern); }
  std::optional<std::string> target_refusal(const Target& target) const override {
    return update_->target_refusal(target);
  }
  void check(const Subject& subject) override { update_->check(subject); }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber number) override {
    std::vector<std::string> notes;
    for (const Drawn& drawn : drawn_) {
      if (drawn.pulls.empty()) continue;
      notes.push_back(
          fmt::format("weights were {:.2g} of their size away from what ADMM drew them to ({})",
                      distance_to_targets(subject, drawn),
                      drawn.constraint.name));
    }
    UpdateReport report = update_->update(subject, rounds, number);
    report.notes.insert(report.notes.end(), notes.begin(), notes.end());
    if (number.last) clear();
    return report;
  }

  void enter(const Subject& subject, nn::TrainState&) override {
    clear();
    project(subject, 1.0);
  }

  void before_step(const Subject& subject, nn::TrainState& state) override {
    if (state.step == 0) return;
    const int64_t last = round_at(state.step - 1, state.total_steps);
    const int64_t round = round_at(state.step, state.total_steps);
    if (round != last) project(subject, strength_of(last) / strength_of(round));
  }

  void after_backward(const Subject& subject, nn::TrainState& state) override {
    const double rho = strength_of(round_at(state.step, state.total_steps));
    for (const nn::NamedParameter& weight : weights_of(subject)) {
      const std::vector<double> w = weight.parameter->value.value().to_vector<double>();
      for (const Drawn& drawn : drawn_) {
        const auto pull = drawn.pulls.find(weight.name);
        if (pull == drawn.pulls.end()) continue;
        const double* z = pull->second.target.data<double>();
        const double* u = pull->second.multiplier.data<double>();
        std::vector<double> amounts = w;
        for (size_t i = 0; i < w.size(); ++i) amounts[i] = rho * (w[i] - z[i] + u[i]);
        add_to_gradient(*weight.parameter, amounts);
      }
    }
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> all;
    for (const Drawn& drawn : drawn_) {
      for (const auto& [weight, pull] : drawn.pulls) {
        all[cat("z.", drawn.constraint.name, ".", weight)] = pull.target;
        all[cat("u.", drawn.constraint.name, ".", weight)] = pull.multiplier;
      }
    }
    return all;
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    clear();
    for (const auto& [name, tensor] : state) {
      for (Drawn& drawn : drawn_) {
        const std::string prefix = cat(name.substr(0, 2), drawn.constraint.name, ".");
        if (!name.starts_with(prefix)) continue;
        Pull& pull = drawn.pulls[name.substr(prefix.size())];
        (name.starts_with("z.") ? pull.target : pull.multiplier) = tensor.clone();
      }
    }
  }

 private:
  void clear() {
    for (Drawn& drawn : drawn_) drawn.pulls.clear();
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

  /// Z = P(W + U), and but for the first time U <- scale (U + W - Z).
  void project(const Subject& subject, double scale) {
    const std::vector<nn::NamedParameter> weights = weights_of(subject);
    for (Drawn& drawn : drawn_) {
      ValuesByName sums;
      for (const nn::NamedParameter& weight : weights) {
        std::vector<double> sum = weight.parameter->value.value().to_vector<double>();
        const auto pull = drawn.pulls.find(weight.name);
        if (pull != drawn.pulls.end()) {
          const double* u = pull->second.multiplier.data<double>();
          for (size_t i = 0; i < sum.size(); ++i) sum[i] += u[i];
        }
        sums[weight.name] = Tensor::from(weight.parameter->shape(), sum);
      }
      const ValuesByName nearest = drawn.constraint.project(subject, sums);
      for (const nn::NamedParameter& weight : weights) {
        const auto found = nearest.find(weight.name);
        if (found == nearest.end()) continue;
        const auto [entry, first] = drawn.pulls.try_emplace(weight.name);
        Pull& pull = entry->second;
        pull.target = found->second;
        if (first) {
          pull.multiplier = Tensor::zeros(weight.parameter->shape(), DType::F64);
          continue;
        }
        const std::vector<double> w = weight.parameter->value.value().to_vector<double>();
        const double* z = pull.target.data<double>();
        double* u = pull.multiplier.data<double>();
        for (size_t i = 0; i < w.size(); ++i) u[i] = scale * (u[i] + w[i] - z[i]);
      }
    }
  }

  /// ||W - Z|| / ||W|| of the weights that a constraint binds.
  static double distance_to_targets(const Subject& subject, const Drawn& drawn) {
    double away = 0.0;
    double size = 0.0;
    for (const nn::NamedParameter& weight : weights_of(subject)) {
      const auto pull = drawn.pulls.find(weight.name);
      if (pull == drawn.pulls.end()) continue;
      const std::vector<double> w = weight.parameter->value.value().to_vector<double>();
      for (size_t i = 0; i < w.size(); ++i) {
        const double z = pull->second.target.data<double>()[i];
        away += (w[i] - z) * (w[i] - z);
        size += w[i] * w[i];
      }
    }
    return size > 0.0 ? std::sqrt(away / size) : 0.0;
  }

  AdmmOptions options_;
  std::vector<Drawn> drawn_;
  std::shared_ptr<Action> update_;
};

}  // namespace

AdmmConstraint left_by(std::shared_ptr<Action> update, Sparsity sparsity) {
  const auto project = [update = std::move(update), sparsity](const Subject& subject,
                                                              const ValuesByName& values) {
    const NoGrad no_grad;
    const std::unique_ptr<nn::Module> copy = subject.model.clone();
    const Subject of_copy{*copy, nullptr, subject.pattern, subject.settings, subject.inputs};
    const std::vector<nn::NamedParameter> weights = weights_of(of_copy);
    for (const nn::NamedParameter& weight : weights) {
      Tensor& value = weight.parameter->value.value();
      value.copy_(values.at(weight.name).to(value.dtype()));
    }
    const Moment moment{.sparsity = sparsity};
    update->update(of_copy, {&moment, 1}, {});
    ValuesByName left;
    for (const nn::NamedParameter& weight : weights) {
      Tensor& z = left[weight.name] = values.at(weight.name).clone();
      if (!weight.parameter->masked()) continue;
      const Tensor mask = weight.parameter->mask();
      for (int64_t i = 0; i < mask.numel(); ++i) {
        if (mask.data<uint8_t>()[i] == 0) z.data<double>()[i] = 0.0;
      }
    }
    return left;
  };
  return {"masks", project};
}

std::shared_ptr<Action> admm(const AdmmOptions& options,
                             std::vector<AdmmConstraint> constraints,
                             std::shared_ptr<Action> update) {
  return std::make_shared<Admm>(options, std::move(constraints), std::move(update));
}

}  // namespace espalier::prune
