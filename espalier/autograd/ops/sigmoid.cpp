// SPDX-License-Identifier: Apache-2.0
// sigmoid: y = 1 / (1 + e^-a).  d/da = y (1 - y).
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {

Variable sigmoid(const Variable& a) {
  Tensor out = detail::map(VectorFunction::Sigmoid, a.value(), "sigmoid");
  return record(
      "sigmoid",
      std::move(out),
      {a},
      [](const BackwardContext& ctx) {
        return std::vector<Variable>{detail::chain(
            ctx.grad,
            ctx.output,
            [](auto g, auto y) { return g * y * (1 - y); },
            [&] {
              const Variable& y = ctx.output;
              return mul(ctx.grad, sub(y, mul(y, y)));
            })};
      },
      SaveOutput::Yes);
}

OpInfo sigmoid_op() {
  const auto run = [](const std::vector<Variable>& in) { return sigmoid(in[0]); };
  return {.name = "sigmoid",
          .rule = OpRule::Elementwise,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = 1.0 - 1.0 / (1.0 + std::exp(v));
            return y;
          }};
}

}  // namespace espalier
