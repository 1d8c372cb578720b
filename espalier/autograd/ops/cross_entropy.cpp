// SPDX-License-Identifier: Apache-2.0
// cross_entropy: -sum_c q_c log p_c with p = softmax(logits) and q = (1-s) w_t one-hot + s/C w for
// a label t that counts, else 0; without class weights w = 1.  dL/dlogits = (p sum_c q_c - q) G.
// One pass over the logits, which keeps p.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/class_target.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/kernels/vector_math.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kSamples = 64;   // samples of one task
constexpr int64_t kClasses = 256;  // of a sample, that are exponentiated together

/// The losses of all samples; `p` becomes softmax(x).
template <class T>
std::vector<double> losses_of(const Tensor& x,
                              const Tensor& labels,
                              const detail::TargetRule& rule,
                              Tensor& p) {
  const detail::ClassRows rows(x);
  const int64_t step = rows.step();
  const int64_t classes = rows.classes;
  const bool weighted = !rule.weights.empty();
  const double mean_weight = weighted
                                 ? std::accumulate(rule.weights.begin(), rule.weights.end(), 0.0) /
                                       static_cast<double>(classes)
                                 : 1.0;
  const T* px = x.data<T>();
  const int64_t* label = labels.data<int64_t>();
  T* pp = p.data<T>();
  std::vector<double> losses(static_cast<size_t>(x.size(0)));
  parallel_for(x.size(0), kSamples, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* in = px + rows.first(n);
      T* out = pp + rows.first(n);
      T highest = in[0];
      for (int64_t c = 1; c < classes; ++c) highest = std::max(highest, in[c * step]);
      double total = 0.0;
      double shifted = 0.0;  // sum of w (x - highest), for the smoothed part
      T powers[kClasses];
      for (int64_t first = 0; first < classes; first += kClasses) {
        const int64_t count = std::min(kClasses, classes - first);
        for (int64_t c = 0; c < count; ++c) {
          powers[c] = in[(first + c) * step] - highest;
          shifted += weighted ? rule.weight(first + c) * static_cast<double>(powers[c])
                              : static_cast<double>(powers[c]);
        }
        vector_exp(powers, powers, count);
        for (int64_t c = 0; c < count; ++c) {
          out[(first + c) * step] = powers[c];
          total += powers[c];
        }
      }
      for (int64_t c = 0; c < classes; ++c) {
        out[c * step] = static_cast<T>(static_cast<double>(out[c * step]) / total);
      }
      if (!rule.counts(label[n])) continue;
      const double log_total = std::log(total);
      const double target = static_cast<double>(in[label[n] * step] - highest) - log_total;
      double loss = -target * rule.weight(label[n]);
      if (rule.smoothing > 0.0) {
        const double spread = mean_weight * log_total - shifted / static_cast<double>(classes);
        loss = (1.0 - rule.smoothing) * loss + rule.smoothing * spread;
      }
      losses[static_cast<size_t>(n)] = loss;
    }
  });
  return losses;
}

/// (p sum q - q) * g_n, where g has one element for all samples or one each.
template <class T>
Tensor fused_gradient(const Tensor& p,
                      const Tensor& labels,
                      const detail::TargetRule& rule,
                      const Tensor& grad,
                      double scale) {
  Tensor out = Tensor::empty_like(p);
  const detail::ClassRows rows(p);
  const int64_t step = rows.step();
  const T* pp = p.data<T>();
  const T* g = grad.data<T>();
  const int64_t* label = labels.data<int64_t>();
  T* po = out.data<T>();
  const double spread = rule.smoothing / static_cast<double>(rows.classes);
  const auto background = static_cast<T>(spread);
  const auto peak = static_cast<T>(1.0 - rule.smoothing);
  Tensor totals;
  if (!rule.plain()) {
    totals = detail::target_totals({p.shape(), p.dtype(), p.layout()}, labels, rule);
  }
  parallel_for(p.size(0), kSamples, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T factor = g[grad.rank() == 0 ? 0 : n] * static_cast<T>(scale);
      const T* in = pp + rows.first(n);
      T* to = po + rows.first(n);
      if (rule.plain()) {
        for (int64_t c = 0; c < rows.classes; ++c) {
          to[c * step] = (in[c * step] - background - (c == label[n] ? peak : T{0})) * factor;
        }
        continue;
      }
      const bool counts = rule.counts(label[n]);
      const T total = totals.data<T>()[n];
      for (int64_t c = 0; c < rows.classes; ++c) {
        const double q = (spread + (c == label[n] ? 1.0 - rule.smoothing : 0.0)) * rule.weight(c);
        to[c * step] = counts ? (in[c * step] * total - static_cast<T>(q)) * factor : T{0};
      }
    }
  });
  return out;
}

/// The same in differentiable ops.
Variable recorded_gradient(const Variable& logits,
                           const detail::ScoresMeta& meta,
                           const Tensor& labels,
                           const detail::TargetRule& rule,
                           const Variable& grad,
                           double scale) {
  const Variable q(detail::target_distribution(meta, labels, rule));
  Variable p = softmax(logits, 1);
  if (!rule.plain()) p = p * Variable(detail::target_totals(meta, labels, rule));
  const Variable each = grad.rank() == 0 ? grad : reshape(grad, {grad.size(0), 1});
  return (p - q) * (each * scale);
}

}  // namespace

Variable cross_entropy(const Variable& logits,
                       const Tensor& target,
                       double label_smoothing,
                       Reduction reduction) {
  return cross_entropy(
      logits,
      target,
      CrossEntropyOptions{.label_smoothing = label_smoothing, .reduction = reduction});
}

Variable cross_entropy(const Variable& logits,
                       const Tensor& target,
                       const CrossEntropyOptions& options) {
  const double smoothing = options.label_smoothing;
  const Reduction reduction = options.reduction;
  ESPALIER_CHECK(smoothing >= 0.0 && smoothing <= 1.0,
                 ValueError,
                 "cross_entropy: expects label_smoothing in [0,1], got ",
                 smoothing);
  const Tensor x = logits.value().contiguous();
  const detail::TargetRule rule = detail::target_rule(
      x, options.class_weights, options.ignore_index, smoothing, "cross_entropy");
  const Tensor labels = detail::check_target(x, target, rule, "cross_entropy");
  const int64_t n = x.size(0);
  const double scale = reduction == Reduction::Mean ? 1.0 / rule.total(labels) : 1.0;
  Tensor p = Tensor::empty_like(x);
  Tensor loss = Tensor::empty(reduction == Reduction::None ? Shape{n} : Shape{}, x.dtype());
  dispatch_floating(x.dtype(), "cross_entropy", [&](auto zero) {
    using T = decltype(zero);
    const std::vector<double> losses = losses_of<T>(x, labels, rule, p);
    double total = 0.0;
    for (double value : losses) total += value;
    T* out = loss.data<T>();
    if (reduction == Reduction::None) {
      std::transform(
          losses.begin(), losses.end(), out, [](double value) { return static_cast<T>(value); });
    } else {
      *out = static_cast<T>(total * scale);
    }
  });
  return record(
      "cross_entropy",
      std::move(loss),
      {logits},
      [logits = Saved(logits), p, labels = Saved(labels), rule, scale](const BackwardContext& ctx) {
        if (is_recording()) {
          const detail::ScoresMeta meta{p.shape(), p.dtype(), p.layout()};
          return std::vector<Variable>{
              recorded_gradient(logits, meta, labels.value(), rule, ctx.grad, scale)};
        }
        return dispatch_floating(p.dtype(), "cross_entropy", [&](auto zero) {
          const Tensor grad = ctx.grad.value().to(Layout::Nchw).contiguous();
          return std::vector<Variable>{
              Variable(fused_gradient<decltype(zero)>(p, labels.value(), rule, grad, scale))};
        });
      });
}

OpInfo cross_entropy_op() {
  const auto run = [](const std::vector<int64_t>& labels, double smoothing, Reduction reduction) {
    const Tensor target = Tensor::from({static_cast<int64_t>(labels.size())}, labels);
    return [=](const std::vector<Variable>& in) {
      return cross_entropy(in[0], target, smoothing, reduction);
    };
  };
  const auto weighted = [](const std::vector<int64_t>& labels, Reduction reduction) {
    const Tensor target = Tensor::from({static_cast<int64_t>(labels.size())}, labels);
    const Tensor weights = Tensor::from<double>({3}, {0.5, 2.0, 0.0});
    return [=](const std::vector<Variable>& in) {
      return cross_entropy(in[0],
                           target,
                           {.class_weights = weights,
                            .ignore_index = -100,
                            .label_smoothing = 0.2,
                            .reduction = reduction});
    };
  };
  const std::vector<int64_t> seventeen = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1};
  return {
      .name = "cross_entropy",
      .rule = OpRule::Freezes,
      .samples = {
          {"mean", {sample_tensor({3, 4}, 1, -3, 3)}, run({3, 0, 3}, 0.0, Reduction::Mean), {0}},
          {"smoothed",
           {sample_tensor({17, 3}, 2, -3, 3)},
           run(seventeen, 0.1, Reduction::Mean),
           {0}},
          {"sum", {sample_tensor({2, 3}, 3)}, run({1, 2}, 0.0, Reduction::Sum), {0}},
          {"each", {sample_tensor({3, 2}, 4)}, run({0, 1, 1}, 0.2, Reduction::None), {0}, true},
          {"weighted, smoothed, some ignored",
           {sample_tensor({5, 3}, 6, -3, 3)},
           weighted({1, -100, 0, 2, 1}, Reduction::Mean),
           {0}},
          {"each, weighted",
           {sample_tensor({4, 3}, 7, -3, 3)},
           weighted({1, -100, 0, 2}, Reduction::None),
           {0},
           true},
          {"no samples", {sample_tensor({0, 3}, 5)}, run({}, 0.0, Reduction::Sum), {0}}}};
}

}  // namespace espalier
