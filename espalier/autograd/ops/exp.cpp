// SPDX-License-Identifier: Apache-2.0
// exp: e^a.  d/da = e^a: the output.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {

Variable exp(const Variable& a) {
  Tensor out = detail::map(VectorFunction::Exp, a.value(), "exp");
  return record(
      "exp",
      std::move(out),
      {a},
      [](const BackwardContext& ctx) { return std::vector<Variable>{mul(ctx.grad, ctx.output)}; },
      SaveOutput::Yes);
}

OpInfo exp_op() {
  const auto run = [](const std::vector<Variable>& in) { return exp(in[0]); };
  return {.name = "exp",
          .rule = OpRule::Elementwise,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = std::exp(v);
            return y;
          }};
}

}  // namespace espalier
