// SPDX-License-Identifier: Apache-2.0
// softmax: y = e^a / sum e^a along a dimension.  dL/da = y (G - sum y G).
#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/kernels/softmax.h>

namespace espalier {

Variable softmax(const Variable& a, int dim) {
  dim = a.shape().wrap(dim, "softmax");
  const Tensor x = (dim == 0 ? a.value().to(Layout::Nchw) : a.value()).contiguous();
  Tensor y = Tensor::empty_like(x);
  softmax_forward(x, dim, SoftmaxKind::Probability, y);
  detail::describe_op([&] { return OpAttributes{{"dim", int64_t{dim}}}; });
  return record(
      "softmax",
      std::move(y),
      {a},
      [dim, from = a.layout()](const BackwardContext& ctx) {
        const Variable& y = ctx.output;
        if (is_recording()) {
          const Variable total = sum(ctx.grad * y, {dim}, true);
          return std::vector<Variable>{to_layout(y * (ctx.grad - total), from)};
        }
        Tensor dx = Tensor::empty_like(y.value());
        const Tensor grad = ctx.grad.value().to(y.layout()).contiguous();
        softmax_backward(y.value(), grad, dim, SoftmaxKind::Probability, dx);
        return std::vector<Variable>{to_layout(Variable(dx), from)};
      },
      SaveOutput::Yes);
}

OpInfo softmax_op() {
  const auto along = [](int dim) {
    return [dim](const std::vector<Variable>& in) { return softmax(in[0], dim); };
  };
  const auto naive = [](const OpSample& sample) {
    std::vector<double> v = sample.inputs[0].to_vector<double>();
    const Shape shape = sample.inputs[0].shape();
    const int dim = sample.name == "samples" ? 0 : 1;
    const auto size = static_cast<size_t>(shape[dim]);
    size_t stride = 1;
    for (int d = dim + 1; d < shape.rank(); ++d) stride *= static_cast<size_t>(shape[d]);
    for (size_t first = 0; first < v.size(); ++first) {
      if (first / stride % size != 0) continue;
      double total = 0.0;
      for (size_t i = 0; i < size; ++i) total += std::exp(v[first + i * stride]);
      for (size_t i = 0; i < size; ++i) {
        v[first + i * stride] = std::exp(v[first + i * stride]) / total;
      }
    }
    return v;
  };
  return {.name = "softmax",
          .rule = OpRule::Freezes,
          .attributes = {"dim"},
          .samples = {{"classes", {sample_tensor({17, 5}, 1, -3, 3)}, along(-1), {0}},
                      {"channels of a plane", {sample_tensor({3, 4, 2}, 2, -3, 3)}, along(1), {0}},
                      {"samples", {sample_tensor({4, 3}, 3)}, along(0), {0}, true},
                      {"one class", {sample_tensor({2, 1}, 4)}, along(1), {0}},
                      {"no samples", {sample_tensor({0, 3}, 5)}, along(1), {0}}},
          .reference = naive};
}

}  // namespace espalier
