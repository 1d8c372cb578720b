// SPDX-License-Identifier: Apache-2.0
// cross_entropy: -sum_c q_c log p_c with p = softmax(logits) and q = (1-s) one-hot + s/C.
// dL/dlogits = (p - q) G.  One pass over the logits, which keeps p.
#include <algorithm>
#include <cmath>

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
std::vector<double> losses_of(const Tensor& x, const Tensor& labels, double smoothing, Tensor& p) {
  const detail::ClassRows rows(x);
  const int64_t step = rows.step();
  const int64_t classes = rows.classes;
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
      double shifted = 0.0;  // sum of x - highest, for the smoothed part
      T powers[kClasses];
      for (int64_t first = 0; first < classes; first += kClasses) {
        const int64_t count = std::min(kClasses, classes - first);
        for (int64_t c = 0; c < count; ++c) {
          powers[c] = in[(first + c) * step] - highest;
          shifted += powers[c];
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
      const double log_total = std::log(total);
      const double target = static_cast<double>(in[label[n] * step] - highest) - log_total;
      double loss = -target;
      if (smoothing > 0.0) {
        const double mean = shifted / static_cast<double>(classes) - log_total;
        loss = -(1.0 - smoothing) * target - smoothing * mean;
      }
      losses[static_cast<size_t>(n)] = loss;
    }
  });
  return losses;
}

/// (p - q) * g_n, where g has one element for all samples or one each.
template <class T>
Tensor fused_gradient(
    const Tensor& p, const Tensor& labels, double smoothing, const Tensor& grad, double scale) {
  Tensor out = Tensor::empty_like(p);
  const detail::ClassRows rows(p);
  const int64_t step = rows.step();
  const T* pp = p.data<T>();
  const T* g = grad.data<T>();
  const int64_t* label = labels.data<int64_t>();
  T* po = out.data<T>();
  const auto background = static_cast<T>(smoothing / static_cast<double>(rows.classes));
  const auto peak = static_cast<T>(1.0 - smoothing);
  parallel_for(p.size(0), kSamples, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T factor = g[grad.rank() == 0 ? 0 : n] * static_cast<T>(scale);
      const T* in = pp + rows.first(n);
      T* to = po + rows.first(n);
      for (int64_t c = 0; c < rows.classes; ++c) {
        to[c * step] = (in[c * step] - background - (c == label[n] ? peak : T{0})) * factor;
      }
    }
  });
  return out;
}

}  // namespace

Variable cross_entropy(const Variable& logits,
                       const Tensor& target,
                       double label_smoothing,
                       Reduction reduction) {
  ESPALIER_CHECK(label_smoothing >= 0.0 && label_smoothing <= 1.0,
                 ValueError,
                 "cross_entropy: expects label_smoothing in [0,1], got ",
                 label_smoothing);
  const Tensor x = logits.value().contiguous();
  const Tensor labels = detail::check_target(x, target, "cross_entropy");
  const int64_t n = x.size(0);
  const double scale = reduction == Reduction::Mean ? 1.0 / static_cast<double>(n) : 1.0;
  Tensor p = Tensor::empty_like(x);
  Tensor loss = Tensor::empty(reduction == Reduction::None ? Shape{n} : Shape{}, x.dtype());
  dispatch_floating(x.dtype(), "cross_entropy", [&](auto zero) {
    using T = decltype(zero);
    const std::vector<double> losses = losses_of<T>(x, labels, label_smoothing, p);
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
  return record("cross_entropy",
                std::move(loss),
                {logits},
                [logits = Saved(logits), p, labels = Saved(labels), label_smoothing, scale](
                    const BackwardContext& ctx) {
                  if (is_recording()) {
                    const Variable q(detail::target_distribution(
                        {p.shape(), p.dtype(), p.layout()}, labels.value(), label_smoothing));
                    const Variable grad =
                        ctx.grad.rank() == 0 ? ctx.grad : reshape(ctx.grad, {ctx.grad.size(0), 1});
                    return std::vector<Variable>{(softmax(logits, 1) - q) * (grad * scale)};
                  }
                  return dispatch_floating(p.dtype(), "cross_entropy", [&](auto zero) {
                    const Tensor grad = ctx.grad.value().to(Layout::Nchw).contiguous();
                    return std::vector<Variable>{Variable(fused_gradient<decltype(zero)>(
                        p, labels.value(), label_smoothing, grad, scale))};
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
  const std::vector<int64_t> seventeen = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1};
  return {
      .name = "cross_entropy",
      .samples = {
          {"mean", {sample_tensor({3, 4}, 1, -3, 3)}, run({3, 0, 3}, 0.0, Reduction::Mean), {0}},
          {"smoothed",
           {sample_tensor({17, 3}, 2, -3, 3)},
           run(seventeen, 0.1, Reduction::Mean),
           {0}},
          {"sum", {sample_tensor({2, 3}, 3)}, run({1, 2}, 0.0, Reduction::Sum), {0}},
          {"each", {sample_tensor({3, 2}, 4)}, run({0, 1, 1}, 0.2, Reduction::None), {0}, true},
          {"no samples", {sample_tensor({0, 3}, 5)}, run({}, 0.0, Reduction::Sum), {0}}}};
}

}  // namespace espalier
