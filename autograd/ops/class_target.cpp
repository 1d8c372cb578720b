// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops/class_target.h>

namespace espalier::detail {

Tensor check_target(const Tensor& scores, const Tensor& target, std::string_view op) {
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
  const Tensor labels = target.to(Layout::Nchw).contiguous();
  const int64_t* label = labels.data<int64_t>();
  for (int64_t n = 0; n < labels.numel(); ++n) {
    ESPALIER_CHECK(label[n] >= 0 && label[n] < scores.size(1),
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
                   " classes");
  }
  return labels;
}

Tensor target_distribution(const ScoresMeta& scores,
                           const Tensor& labels,
                           double smoothing,
                           double scale) {
  const auto classes = static_cast<double>(scores.shape[1]);
  const double background = smoothing == 0.0 ? 0.0 : smoothing / classes;
  Tensor out = Tensor::full(scores.shape, background * scale, scores.dtype, scores.layout);
  const ClassRows rows(out);
  dispatch_floating(out.dtype(), "target_distribution", [&](auto zero) {
    using T = decltype(zero);
    const auto peak = static_cast<T>((1.0 - smoothing + background) * scale);
    const int64_t* label = labels.data<int64_t>();
    T* p = out.data<T>();
    for (int64_t n = 0; n < labels.numel(); ++n) p[rows.first(n) + label[n] * rows.step()] = peak;
  });
  return out;
}

}  // namespace espalier::detail
