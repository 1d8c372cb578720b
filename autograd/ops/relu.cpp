// SPDX-License-Identifier: Apache-2.0
// relu: max(a, 0).  d/da = 1 where a > 0, else 0; the output tells where, so the input is not kept.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/loops.h>

namespace espalier {
namespace {

/// gradient where output > 0, else 0. Linear in the gradient, so its own backward is itself.
Variable relu_gate(const Variable& gradient, const Tensor& output) {
  Tensor out = Tensor::empty_like(output);
  dispatch_floating(gradient.dtype(), "relu", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(out, gradient.value(), output, [](T g, T y) { return y > T{0} ? g : T{0}; });
  });
  return record("relu_gate", std::move(out), {gradient}, [output](const BackwardContext& ctx) {
    return std::vector<Variable>{relu_gate(ctx.grad, output)};
  });
}

}  // namespace

Variable relu(const Variable& a) {
  Tensor out = Tensor::empty_like(a.value());
  dispatch_floating(a.dtype(), "relu", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T>(out, a.value(), [](T x) { return x > T{0} ? x : T{0}; });
  });
  return record(
      "relu",
      std::move(out),
      {a},
      [](const BackwardContext& ctx) {
        return std::vector<Variable>{relu_gate(ctx.grad, ctx.output.value())};
      },
      SaveOutput::Yes);
}

OpInfo relu_op() {
  const auto run = [](const std::vector<Variable>& in) { return relu(in[0]); };
  return {.name = "relu",
          .samples = {{"plain", {sample_tensor({17, 3}, 1)}, run, {0}},
                      {"planes", {sample_tensor({2, 3, 2, 2}, 2)}, run, {0}},
                      {"empty", {sample_tensor({0, 3}, 3)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = v < 0.0 ? 0.0 : v;
            return y;
          }};
}

}  // namespace espalier
