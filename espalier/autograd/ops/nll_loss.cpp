// SPDX-License-Identifier: Apache-2.0
// nll_loss: -log_probabilities[n, target[n]].  The gradient is -1 at the target, times G_n (or
// G/N).
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/class_target.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {

Variable nll_loss(const Variable& log_probabilities, const Tensor& target, Reduction reduction) {
  return nll_loss(log_probabilities, target, NllLossOptions{.reduction = reduction});
}

Variable nll_loss(const Variable& log_probabilities,
                  const Tensor& target,
                  const NllLossOptions& options) {
  const Reduction reduction = options.reduction;
  const Tensor scores = log_probabilities.value().contiguous();
  const detail::TargetRule rule =
      detail::target_rule(scores, options.class_weights, options.ignore_index, 0.0, "nll_loss");
  const Tensor labels = detail::check_target(scores, target, rule, "nll_loss");
  const int64_t n = scores.size(0);
  const detail::ClassRows rows(scores);
  const double scale = reduction == Reduction::Mean ? 1.0 / rule.total(labels) : 1.0;
  Tensor loss = Tensor::empty(reduction == Reduction::None ? Shape{n} : Shape{}, scores.dtype());
  dispatch_floating(scores.dtype(), "nll_loss", [&](auto zero) {
    using T = decltype(zero);
    const T* p = scores.data<T>();
    const int64_t* label = labels.data<int64_t>();
    T* out = loss.data<T>();
    double total = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      T value{0};
      if (rule.counts(label[i])) {
        value = -p[rows.first(i) + label[i] * rows.step()];
        if (!rule.weights.empty()) value *= static_cast<T>(rule.weight(label[i]));
      }
      if (reduction == Reduction::None) out[i] = value;
      total += value;
    }
    if (reduction != Reduction::None) *out = static_cast<T>(total * scale);
  });
  return record(
      "nll_loss",
      std::move(loss),
      {log_probabilities},
      [labels = Saved(labels),
       rule,
       scale,
       meta = detail::ScoresMeta{scores.shape(), scores.dtype(), scores.layout()}](
          const BackwardContext& ctx) {
        const Variable picked(detail::target_distribution(meta, labels.value(), rule, -scale));
        const bool single = ctx.grad.rank() == 0;
        const Variable grad = single ? ctx.grad : reshape(ctx.grad, {ctx.grad.size(0), 1});
        return std::vector<Variable>{picked * grad};
      });
}

OpInfo nll_loss_op() {
  const auto run = [](const std::vector<int64_t>& labels, Reduction reduction) {
    const Tensor target = Tensor::from({static_cast<int64_t>(labels.size())}, labels);
    return [target, reduction](const std::vector<Variable>& in) {
      return nll_loss(in[0], target, reduction);
    };
  };
  const auto weighted = [](const std::vector<int64_t>& labels, Reduction reduction) {
    const Tensor target = Tensor::from({static_cast<int64_t>(labels.size())}, labels);
    const Tensor weights = Tensor::from<double>({3}, {0.5, 2.0, 0.0});
    return [=](const std::vector<Variable>& in) {
      return nll_loss(
          in[0], target, {.class_weights = weights, .ignore_index = -1, .reduction = reduction});
    };
  };
  return {.name = "nll_loss",
          .rule = OpRule::Freezes,
          .samples = {{"mean", {sample_tensor({3, 4}, 1)}, run({3, 0, 3}, Reduction::Mean), {0}},
                      {"sum", {sample_tensor({2, 3}, 2)}, run({1, 2}, Reduction::Sum), {0}},
                      {"each",
                       {sample_tensor({17, 2}, 3)},
                       run({0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1}, Reduction::None),
                       {0},
                       true},
                      {"weighted, some ignored",
                       {sample_tensor({5, 3}, 5)},
                       weighted({1, -1, 0, 2, 1}, Reduction::Mean),
                       {0}},
                      {"each, weighted",
                       {sample_tensor({4, 3}, 6)},
                       weighted({1, -1, 0, 2}, Reduction::None),
                       {0},
                       true},
                      {"no samples", {sample_tensor({0, 3}, 4)}, run({}, Reduction::Sum), {0}}}};
}

}  // namespace espalier
