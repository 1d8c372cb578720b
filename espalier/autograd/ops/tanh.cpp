// SPDX-License-Identifier: Apache-2.0
// tanh: hyperbolic tangent.  d/da = 1 - y^2.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {

Variable tanh(const Variable& a) {
  Tensor out = detail::map(VectorFunction::Tanh, a.value(), "tanh");
  return record(
      "tanh",
      std::move(out),
      {a},
      [](const BackwardContext& ctx) {
        return std::vector<Variable>{detail::chain(
            ctx.grad,
            ctx.output,
            [](auto g, auto y) { return g * (1 - y * y); },
            [&] {
              const Variable& y = ctx.output;
              return sub(ctx.grad, mul(ctx.grad, mul(y, y)));
            })};
      },
      SaveOutput::Yes);
}

OpInfo tanh_op() {
  const auto run = [](const std::vector<Variable>& in) { return tanh(in[0]); };
  return {.name = "tanh",
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = 1.0 - 2.0 / (std::exp(2.0 * v) + 1.0);
            return y;
          }};
}

}  // namespace espalier
