// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/kernel_patterns.h>

#include <algorithm>

#include <espalier/prune/patterns/kernel_pattern.h>
#include <espalier/prune/sites/collapse.h>

namespace espalier::prune {
namespace {

Tensor under(const std::vector<uint8_t>& kept, const Shape& shape, std::vector<double> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (kept[i] == 0) values[i] = 0.0;
  }
  return Tensor::from(shape, values);
}

/// Arrangements first, then the kernels with the largest norms of what those leave.
Tensor mask_of_both(const nn::Parameter& parameter, Sparsity sparsity) {
  const Shape& shape = parameter.shape();
  const std::vector<double> values = parameter.value.value().to_vector<double>();
  const std::vector<uint8_t> arranged = pattern_mask(values, shape);
  const std::vector<double> left = under(arranged, shape, values).to_vector<double>();
  const std::vector<uint8_t> kernels =
      connectivity_mask(left, shape, kernels_kept(shape, sparsity));
  Tensor mask = parameter.masked() ? parameter.mask().clone() : Tensor::ones(shape, DType::U8);
  for (size_t i = 0; i < values.size(); ++i) {
    mask.data<uint8_t>()[i] &= arranged[i] & kernels[i];
  }
  return mask;
}

class KeepKernelPatterns : public Action {
 public:
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
      const Tensor mask = mask_of_both(parameter, rounds.front().sparsity);
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
    return report;
  }
};

}  // namespace

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

AdmmConstraint connectivity() {
  return {"connectivity", [](const Subject& subject, const ValuesByName& values) {
            ValuesByName nearest;
            for (const auto& [name, tensor] : values) {
              const Shape& shape = tensor.shape();
              const int64_t kept = kernels_kept(shape, subject.settings.final());
              if (kept >= shape[1]) continue;
              const std::vector<double> w = tensor.to_vector<double>();
              nearest[name] = under(connectivity_mask(w, shape, kept), shape, w);
            }
            return nearest;
          }};
}

std::shared_ptr<Action> keep_kernel_patterns() {
  return std::make_shared<KeepKernelPatterns>();
}

}  // namespace espalier::prune
