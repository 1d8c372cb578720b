// SPDX-License-Identifier: Apache-2.0
// relu: max(a, 0).  d/da = 1 where a > 0, else 0; the output tells where, so the input is not kept.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable relu(const Variable& a) {
  // A NaN must stay one: `x > 0 ? x : 0` would hide it.
  Tensor out = detail::map(a.value(), "relu", [](auto x) { return x < 0 ? decltype(x){0} : x; });
  return record(
      "relu",
      std::move(out),
      {a},
      [](const BackwardContext& ctx) {
        return std::vector<Variable>{detail::gate(ctx.grad, ctx.output.value(), [](auto g, auto y) {
          // A NaN lets pass, as in PyTorch.
          return y <= 0 ? decltype(g){0} : g;
        })};
      },
      SaveOutput::Yes);
}

OpInfo relu_op() {
  const auto run = [](const std::vector<Variable>& in) { return relu(in[0]); };
  return {.name = "relu",
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = v < 0.0 ? 0.0 : v;
            return y;
          }};
}

}  // namespace espalier
