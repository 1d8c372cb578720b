// SPDX-License-Identifier: Apache-2.0
// silu: a s, s = 1 / (1 + e^-a).  d/da = s (1 + a (1 - s)).  Source: arXiv:1702.03118.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {

Variable silu(const Variable& a) {
  Tensor out = detail::map(VectorFunction::Silu, a.value(), "silu");
  return record("silu", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    if (is_recording()) {
      const Variable s = sigmoid(a);
      return std::vector<Variable>{mul(ctx.grad, s + a * (s * (1.0 - s)))};
    }
    return std::vector<Variable>{
        Variable(detail::map(VectorGradient::Silu, ctx.grad.value(), a.value(), "backward"))};
  });
}

OpInfo silu_op() {
  const auto run = [](const std::vector<Variable>& in) { return silu(in[0]); };
  return {.name = "silu",
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = 0.5 * v * (1.0 + std::tanh(0.5 * v));
            return y;
          }};
}

}  // namespace espalier
