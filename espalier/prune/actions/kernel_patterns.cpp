// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/kernel_patterns.h>

#include <algorithm>

#include <espalier/prune/budgets/units_within.h>
#include <espalier/prune/patterns/kernel_pattern.h>
#include <espalier/prune/sites/collapse.h>
#include <espalier/prune/update/to_budget.h>

namespace espalier::prune {
namespace {

Tensor under(const std::vector<uint8_t>& kept, const Shape& shape, std::vector<double> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (kept[i] == 0) values[i] = 0.0;
  }
  return Tensor::from(shape, values);
}

/// Arrangements first, then the kernels with the largest norms of what those leave.
Tensor mask_of_both(const nn::Parameter& parameter, int64_t kernels_of_filter) {
  const Shape& shape = parameter.shape();
  const std::vector<double> values = parameter.value.value().to_vector<double>();
  const std::vector<uint8_t> arranged = pattern_mask(values, shape);
  const std::vector<double> left = under(arranged, shape, values).to_vector<double>();
  const std::vector<uint8_t> kernels = connectivity_mask(left, shape, kernels_of_filter);
  Tensor mask = parameter.masked() ? parameter.mask().clone() : Tensor::ones(shape, DType::U8);
  for (size_t i = 0; i < values.size(); ++i) {
    mask.data<uint8_t>()[i] &= arranged[i] & kernels[i];
  }
  return mask;
}

/// A mask of so many kernels of every filter, others in each filter, with as many weights as any.
Tensor mask_like(const Shape& shape, int64_t kept) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  const int64_t channels = shape[1];
  const int64_t kernel = shape.numel() / (shape[0] * channels);
  const bool arranged = has_kernel_patterns(shape);
  for (int64_t filter = 0; filter < shape[0]; ++filter) {
    for (int64_t k = 0; k < kept; ++k) {
      const int64_t channel = (filter * kept + k) % channels;
      uint8_t* m = mask.data<uint8_t>() + (filter * channels + channel) * kernel;
      for (int64_t i = 0; i < kernel; ++i) m[i] = arranged ? 0 : 1;
      if (!arranged) continue;
      const size_t one = static_cast<size_t>(filter + k) % kKernelPatterns.size();
      for (const int64_t place : kKernelPatterns[one]) m[place] = 1;
    }
  }
  return mask;
}

class KeepKernelPatterns : public Action {
 public:
  explicit KeepKernelPatterns(std::shared_ptr<KernelNumbers> numbers)
      : numbers_(std::move(numbers)) {}

  std::optional<std::string> target_refusal(const Target&) const override { return std::string(); }

  std::string refusal(const Pattern& pattern) const override {
    if (dynamic_cast<const KernelPattern*>(&pattern) != nullptr) return {};
    return cat("arranges the weights of kernels, got pattern ", pattern.name());
  }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber) override {
    UpdateReport report{.step = rounds.front().step,
                        .target = rounds.front().sparsity,
                        .target_of = SparsityOf::Nothing};
    const std::vector<nn::NamedParameter> weights =
        prunable_weights(subject.model, subject.settings.exclude);
    std::map<const nn::Parameter*, Tensor> masks;
    for (const nn::NamedParameter& weight : weights) {
      const nn::Parameter& parameter = *weight.parameter;
      const Tensor mask =
          mask_of_both(parameter, numbers_->of(subject, weight, rounds.front().sparsity));
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
    for (const nn::NamedParameter& weight : weights) {
      weight.parameter->set_mask(masks.at(weight.parameter));
    }
    if (subject.optimizer != nullptr) subject.optimizer->clear_masked_state();
    tell_cost(subject, rounds.front().sparsity, report);
    return report;
  }

 private:
  std::shared_ptr<KernelNumbers> numbers_;
};

}  // namespace

int64_t KernelNumbers::of(const Subject& subject,
                          const nn::NamedParameter& weight,
                          Sparsity sparsity) {
  if (!has_budget(subject)) return kernels_kept(weight.parameter->shape(), sparsity);
  if (found_.empty()) meet_target(subject);
  return found_.at(weight.name);
}

void KernelNumbers::meet_target(const Subject& subject) {
  BudgetSearch search(subject);
  const auto weights = prunable_weights(subject.model, subject.settings.exclude);
  const auto at = [&](Sparsity sparsity) {
    UnitNumbers kept;
    for (const nn::NamedParameter& weight : weights) {
      const Shape& shape = weight.parameter->shape();
      kept.push_back(std::max<int64_t>(kernels_kept(shape, sparsity), 1));
    }
    return kept;
  };
  const auto cost = [&](const UnitNumbers& kept) {
    std::map<const nn::Parameter*, Tensor> masks;
    for (size_t w = 0; w < weights.size(); ++w) {
      masks[weights[w].parameter] = mask_like(weights[w].parameter->shape(), kept[w]);
    }
    return search.cost_under([&](const nn::Parameter& parameter) {
      const auto found = masks.find(&parameter);
      return found == masks.end() ? parameter.mask() : found->second;
    });
  };
  const Target target = parse_target(subject.settings.target);
  const UnitNumbers kept =
      units_within({.at = at, .cost = cost, .asked = search.asked(), .dense = search.dense_cost()},
                   name(target.kind));
  for (size_t w = 0; w < weights.size(); ++w) found_[weights[w].name] = kept[w];
}

AdmmConstraint arrangements() {
  return {"arrangements", [](const Subject&, const ValuesByName& values) {
            ValuesByName nearest;
            for (const auto& [name, tensor] : values) {
              const Shape& shape = tensor.shape();
              if (!has_kernel_patterns(shape)) continue;
              const std::vector<double> w = tensor.to_vector<double>();
              nearest[name] = under(pattern_mask(w, shape), shape, w);
            }
            return nearest;
          }};
}

AdmmConstraint connectivity(std::shared_ptr<KernelNumbers> numbers) {
  return {"connectivity",
          [numbers = std::move(numbers)](const Subject& subject, const ValuesByName& values) {
            ValuesByName nearest;
            for (const auto& [name, tensor] : values) {
              const Shape& shape = tensor.shape();
              const int64_t kept = numbers->of(
                  subject, {name, &subject.model.parameter(name)}, subject.settings.final());
              if (kept >= shape[1]) continue;
              const std::vector<double> w = tensor.to_vector<double>();
              nearest[name] = under(connectivity_mask(w, shape, kept), shape, w);
            }
            return nearest;
          }};
}

std::shared_ptr<Action> keep_kernel_patterns(std::shared_ptr<KernelNumbers> numbers) {
  return std::make_shared<KeepKernelPatterns>(std::move(numbers));
}

}  // namespace espalier::prune
