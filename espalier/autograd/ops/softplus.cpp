// SPDX-License-Identifier: Apache-2.0
// softplus: log(1 + e^a).  d/da = 1 / (1 + e^-a).
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {

Variable softplus(const Variable& a) {
  Tensor out = detail::map(VectorFunction::Softplus, a.value(), "softplus");
  return record("softplus", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    if (is_recording()) return std::vector<Variable>{mul(ctx.grad, sigmoid(a))};
    return std::vector<Variable>{
        Variable(detail::map(VectorGradient::Softplus, ctx.grad.value(), a.value(), "backward"))};
  });
}

OpInfo softplus_op() {
  const auto run = [](const std::vector<Variable>& in) { return softplus(in[0]); };
  return {.name = "softplus",
          .rule = OpRule::Elementwise,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = std::log(1.0 + std::exp(v));
            return y;
          }};
}

}  // namespace espalier
