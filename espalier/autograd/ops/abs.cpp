// SPDX-License-Identifier: Apache-2.0
// abs: |a|.  d/da = sign a, 0 at 0.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable abs(const Variable& a) {
  Tensor out = detail::map(a.value(), "abs", [](auto x) { return std::abs(x); });
  return record("abs", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    return std::vector<Variable>{detail::gate(ctx.grad, a.value(), [](auto g, auto x) {
      return x > 0 ? g : x < 0 ? -g : decltype(g){0};
    })};
  });
}

OpInfo abs_op() {
  const auto run = [](const std::vector<Variable>& in) { return abs(in[0]); };
  return {.name = "abs",
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = v < 0.0 ? -v : v;
            return y;
          }};
}

}  // namespace espalier
