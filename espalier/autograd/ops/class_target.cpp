// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops/class_target.h>

#include <algorithm>
#include <cmath>

namespace espalier::detail {

double TargetRule::total(const Tensor& labels) const {
  if (plain()) return static_cast<double>(labels.numel());
  double sum = 0.0;
  const int64_t* label = labels.data<int64_t>();
  for (int64_t n = 0; n < labels.numel(); ++n) sum += counts(label[n]) ? weight(label[n]) : 0.0;
  return sum;
}

TargetRule target_rule(const Tensor& scores,
                       const Tensor& class_weights,
                       std::optional<int64_t> ignore,
                       double smoothing,
                       std::string_view op) {
  TargetRule rule{.weights = {}, .ignore = ignore, .smoothing = smoothing};
  if (!class_weights.defined() || scores.rank() != 2) return rule;
  ESPALIER_CHECK(is_floating(class_weights.dtype()),
                 TypeError,
                 op,
                 ": expects floating class weights, got ",
                 class_weights);
  ESPALIER_CHECK(class_weights.shape() == Shape{scores.size(1)},
                 ShapeError,
                 op,
                 ": expects a class weight for each of the ",
                 scores.size(1),
                 " classes of ",
                 scores,
                 ", got ",
                 class_weights);
  rule.weights = class_weights.to_vector<double>();
  for (size_t c = 0; c < rule.weights.size(); ++c) {
    ESPALIER_CHECK(std::isfinite(rule.weights[c]) && rule.weights[c] >= 0.0,
                   ValueError,
                   op,
                   ": the weight of class ",
                   c,
                   " is ",
                   rule.weights[c],
                   ", expected a finite number that is not negative");
  }
  return rule;
}

Tensor check_target(const Tensor& scores,
                    const Tensor& target,
                    const TargetRule& rule,
                    std::string_view op) {
  ESPALIER_CHECK(scores.rank() == 2 && target.rank() == 1 && target.size(0) == scores.size(0),
                 ShapeError,
                 op,
                 ": expects scores (N,C) and a target (N), got ",
                 scores,
                 " and ",
                 target);
  ESPALIER_CHECK(target.dtype() == DType::I64,
                 TypeError,
                 op,
                 ": expects int64 labels, got ",
                 target,
                 ". One-hot targets are not labels; see kl_divergence");
  Tensor labels = target.to(Layout::Nchw).contiguous();
  const int64_t* label = labels.data<int64_t>();
  for (int64_t n = 0; n < labels.numel(); ++n) {
    ESPALIER_CHECK(!rule.counts(label[n]) || (label[n] >= 0 && label[n] < scores.size(1)),
                   ValueError,
                   op,
                   ": target[",
                   n,
                   "] is ",
                   label[n],
                   ", expected a label in 0..",
                   scores.size(1) - 1,
                   " for ",
                   scores.size(1),
                   " classes",
                   rule.ignore ? cat(", or the ignored ", *rule.ignore) : std::string());
  }
  return labels;
}

Tensor target_distribution(const ScoresMeta& scores,
                           const Tensor& labels,
                           const TargetRule& rule,
                           double scale) {
  const int64_t classes = scores.shape[1];
  const double background =
      rule.smoothing == 0.0 ? 0.0 : rule.smoothing / static_cast<double>(classes);
  Tensor out = rule.plain()
                   ? Tensor::full(scores.shape, background * scale, scores.dtype, scores.layout)
                   : Tensor::zeros(scores.shape, scores.dtype, scores.layout);
  const ClassRows rows(out);
  dispatch_floating(out.dtype(), "target_distribution", [&](auto zero) {
    using T = decltype(zero);
    const int64_t* label = labels.data<int64_t>();
    T* p = out.data<T>();
    for (int64_t n = 0; n < labels.numel(); ++n) {
      if (!rule.counts(label[n])) continue;
      T* row = p + rows.first(n);
      for (int64_t c = 0; !rule.plain() && c < classes; ++c) {
        row[c * rows.step()] = static_cast<T>(background * rule.weight(c) * scale);
      }
      const double peak = (1.0 - rule.smoothing + background) * rule.weight(label[n]) * scale;
      row[label[n] * rows.step()] = static_cast<T>(peak);
    }
  });
  return out;
}

Tensor target_totals(const ScoresMeta& scores, const Tensor& labels, const TargetRule& rule) {
  double spread = 0.0;  // smoothing's part, the same for all labels
  for (int64_t c = 0; c < scores.shape[1]; ++c) spread += rule.weight(c);
  spread *= rule.smoothing / static_cast<double>(std::max<int64_t>(1, scores.shape[1]));
  std::vector<double> totals;
  for (const int64_t label : labels.to_vector<int64_t>()) {
    const bool counts = rule.counts(label);
    totals.push_back(counts ? (1.0 - rule.smoothing) * rule.weight(label) + spread : 0.0);
  }
  return Tensor::from({labels.numel(), 1}, totals).to(scores.dtype);
}

}  // namespace espalier::detail
