// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/patterns/kernel_pattern.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/sites/collapse.h>

namespace espalier::prune {
namespace {

/// A constraint of a weight: what it is drawn to, and the scaled dual variable.
struct Pull {
  std::vector<double> target;  // Z
  std::vector<double> dual;    // U
};

/// Whether arrangements or connectivity are asked for.
enum class Constraint : uint8_t { Pattern, Connectivity };
constexpr std::array kConstraints = {Constraint::Pattern, Constraint::Connectivity};

class PatternAdmm : public Action {
 public:
  explicit PatternAdmm(const PatternAdmmOptions& options) : options_(options) {}

  ActionFacts facts() const override { return {.needs_data = true}; }

  std::string refusal(const Pattern& pattern) const override {
    if (dynamic_cast<const KernelPattern*>(&pattern) != nullptr) return {};
    return cat("arranges the weights of kernels, got pattern ", pattern.name());
  }

  void enter(const Subject& subject, nn::TrainState&) override {
    pulls_.clear();
    project(subject);
  }

  void before_step(const Subject& subject, nn::TrainState& state) override {
    if (state.step > 0 && state.step % options_.frequency == 0) project(subject);
  }

  void after_backward(const Subject& subject, nn::TrainState& state) override {
    const double way = options_.until * static_cast<double>(state.total_steps);
    const double third = std::floor(3.0 * static_cast<double>(state.step) / std::max(way, 1.0));
    const double rho = options_.rho * std::pow(10.0, std::clamp(third, 0.0, 2.0));
    for_each(subject, [&](const nn::NamedParameter& weight, Constraint, Pull& pull, int64_t) {
      std::vector<double> amounts = weight.parameter->value.value().to_vector<double>();
      for (size_t i = 0; i < amounts.size(); ++i) {
        amounts[i] = rho * (amounts[i] - pull.target[i] + pull.dual[i]);
      }
      add_to_gradient(*weight.parameter, amounts);
    });
  }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber) override {
    UpdateReport report{.step = rounds.front().step,
                        .target = rounds.front().sparsity,
                        .target_of = SparsityOf::Nothing};
    std::map<const nn::Parameter*, Tensor> masks;
    for (const nn::NamedParameter& weight :
         prunable_weights(subject.model, subject.settings.exclude)) {
      nn::Parameter& parameter = *weight.parameter;
      const Tensor mask = mask_of(parameter, rounds.front().sparsity);
      const uint8_t* m = mask.data<uint8_t>();
      const int64_t kept = std::count(m, m + mask.numel(), uint8_t{1});
      report.layers.push_back({weight.name, mask.numel(), kept, parameter.nnz() - kept});
      masks[&parameter] = mask;
    }
    report.reached = report.sparsity();
    check_collapse(
        flow_of(subject.model, subject.inputs).get(),
        [&](const nn::Parameter& parameter) {
          const auto planned = masks.find(&parameter);
          return planned == masks.end() ? parameter.mask() : planned->second;
        },
        subject.settings,
        report);
    for (const nn::NamedParameter& weight :
         prunable_weights(subject.model, subject.settings.exclude)) {
      weight.parameter->set_mask(masks.at(weight.parameter));
    }
    if (subject.optimizer != nullptr) subject.optimizer->clear_masked_state();
    pulls_.clear();
    return report;
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> state;
    for (const auto& [name, pull] : pulls_) {
      const auto size = static_cast<int64_t>(pull.target.size());
      state["target." + name] = Tensor::from({size}, pull.target);
      state["dual." + name] = Tensor::from({size}, pull.dual);
    }
    return state;
  }

  void load_state(const std::map<std::string, Tensor>& state) override {
    pulls_.clear();
    for (const auto& [name, tensor] : state) {
      const auto dot = name.find('.');
      Pull& pull = pulls_[name.substr(dot + 1)];
      (name.starts_with("target.") ? pull.target : pull.dual) = tensor.to_vector<double>();
    }
  }

 private:
  /// What a projection keeps.
  static std::vector<uint8_t> stays(std::span<const double> values,
                                    const Shape& shape,
                                    Constraint constraint,
                                    int64_t kept) {
    return constraint == Constraint::Pattern ? pattern_mask(values, shape)
                                             : connectivity_mask(values, shape, kept);
  }

  /// Calls `visit` for all constraints that bind, with the kernels that each filter keeps.
  template <class Visit>
  void for_each(const Subject& subject, const Visit& visit) {
    for (const nn::NamedParameter& weight :
         prunable_weights(subject.model, subject.settings.exclude)) {
      const Shape& shape = weight.parameter->shape();
      const int64_t kept = kernels_kept(shape, subject.settings.final());
      for (const Constraint one : kConstraints) {
        const bool binds =
            one == Constraint::Pattern ? has_kernel_patterns(shape) : kept < shape[1];
        if (!binds) continue;
        Pull& pull = pulls_[cat(one == Constraint::Pattern ? "pattern." : "kernels.", weight.name)];
        visit(weight, one, pull, kept);
      }
    }
  }

  void project(const Subject& subject) {
    for_each(subject, [](const nn::NamedParameter& weight, Constraint one, Pull& pull, int64_t k) {
      const std::vector<double> w = weight.parameter->value.value().to_vector<double>();
      pull.dual.resize(w.size(), 0.0);
      const bool first = pull.target.empty();
      pull.target = w;
      for (size_t i = 0; i < w.size(); ++i) pull.target[i] += pull.dual[i];
      const std::vector<uint8_t> kept = stays(pull.target, weight.parameter->shape(), one, k);
      for (size_t i = 0; i < w.size(); ++i) {
        if (kept[i] == 0) pull.target[i] = 0.0;
        if (!first) pull.dual[i] += w[i] - pull.target[i];
      }
    });
  }

  /// Patterns first, then the kernels with the largest norms of what those leave.
  static Tensor mask_of(const nn::Parameter& parameter, Sparsity sparsity) {
    const Shape& shape = parameter.shape();
    std::vector<double> values = parameter.value.value().to_vector<double>();
    const std::vector<uint8_t> of_pattern = pattern_mask(values, shape);
    for (size_t i = 0; i < values.size(); ++i) values[i] *= of_pattern[i];
    const std::vector<uint8_t> of_kernels =
        connectivity_mask(values, shape, kernels_kept(shape, sparsity));
    Tensor mask = parameter.masked() ? parameter.mask().clone() : Tensor::ones(shape, DType::U8);
    for (size_t i = 0; i < values.size(); ++i) {
      mask.data<uint8_t>()[i] &= of_pattern[i] & of_kernels[i];
    }
    return mask;
  }

  PatternAdmmOptions options_;
  std::map<std::string, Pull> pulls_;  // by constraint and weight
};

}  // namespace

std::shared_ptr<Action> pattern_admm(const PatternAdmmOptions& options) {
  return std::make_shared<PatternAdmm>(options);
}

}  // namespace espalier::prune
