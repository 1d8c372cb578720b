// SPDX-License-Identifier: Apache-2.0
// sqrt: square root.  d/da = 1 / (2 sqrt a).
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable sqrt(const Variable& a) {
  Tensor out = detail::map(a.value(), "sqrt", [](auto x) { return std::sqrt(x); });
  return record(
      "sqrt",
      std::move(out),
      {a},
      [](const BackwardContext& ctx) {
        return std::vector<Variable>{detail::chain(
            ctx.grad,
            ctx.output,
            [](auto g, auto y) { return g / (2 * y); },
            [&] { return div(ctx.grad, mul(ctx.output, 2.0)); })};
      },
      SaveOutput::Yes);
}

OpInfo sqrt_op() {
  const auto run = [](const std::vector<Variable>& in) { return sqrt(in[0]); };
  return {.name = "sqrt",
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, 0.5, 3.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, 0.5, 3.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, 0.5, 3.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = std::sqrt(v);
            return y;
          }};
}

}  // namespace espalier
