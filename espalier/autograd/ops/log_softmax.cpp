// SPDX-License-Identifier: Apache-2.0
// log_softmax: y = a - log sum e^a along a dimension.  dL/da = G - e^y sum G.
#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/kernels/softmax.h>

namespace espalier {

Variable log_softmax(const Variable& a, int dim) {
  dim = a.shape().wrap(dim, "log_softmax");
  const Tensor x = (dim == 0 ? a.value().to(Layout::Nchw) : a.value()).contiguous();
  Tensor y = Tensor::empty_like(x);
  softmax_forward(x, dim, SoftmaxKind::Log, y);
  detail::describe_op([&] { return OpAttributes{{"dim", int64_t{dim}}}; });
  return record(
      "log_softmax",
      std::move(y),
      {a},
      [dim, from = a.layout()](const BackwardContext& ctx) {
        const Variable& y = ctx.output;
        if (is_recording()) {
          const Variable total = sum(ctx.grad, {dim}, true);
          return std::vector<Variable>{to_layout(ctx.grad - exp(y) * total, from)};
        }
        Tensor dx = Tensor::empty_like(y.value());
        const Tensor grad = ctx.grad.value().to(y.layout()).contiguous();
        softmax_backward(y.value(), grad, dim, SoftmaxKind::Log, dx);
        return std::vector<Variable>{to_layout(Variable(dx), from)};
      },
      SaveOutput::Yes);
}

OpInfo log_softmax_op() {
  const auto along = [](int dim) {
    return [dim](const std::vector<Variable>& in) { return log_softmax(in[0], dim); };
  };
  const auto naive = [](const OpSample& sample) {
    std::vector<double> v = sample.inputs[0].to_vector<double>();
    const Shape shape = sample.inputs[0].shape();
    const auto size = static_cast<size_t>(shape[1]);
    const size_t stride = shape.rank() == 3 ? static_cast<size_t>(shape[2]) : 1;
    for (size_t first = 0; first < v.size(); ++first) {
      if (first / stride % size != 0) continue;
      double total = 0.0;
      for (size_t i = 0; i < size; ++i) total += std::exp(v[first + i * stride]);
      for (size_t i = 0; i < size; ++i) v[first + i * stride] -= std::log(total);
    }
    return v;
  };
  return {.name = "log_softmax",
          .rule = OpRule::Freezes,
          .attributes = {"dim"},
          .samples = {{"classes", {sample_tensor({17, 5}, 1, -3, 3)}, along(-1), {0}},
                      {"channels of a plane", {sample_tensor({3, 4, 2}, 2, -3, 3)}, along(1), {0}},
                      {"one class", {sample_tensor({2, 1}, 4)}, along(1), {0}},
                      {"no samples", {sample_tensor({0, 3}, 5)}, along(1), {0}}},
          .reference = naive};
}

}  // namespace espalier
