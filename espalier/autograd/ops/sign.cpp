// SPDX-License-Identifier: Apache-2.0
// sign: -1, 0 or 1.  d/da = 0 everywhere.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable sign(const Variable& a) {
  Tensor out = detail::map(a.value(), "sign", [](auto x) {
    return static_cast<decltype(x)>(x > 0 ? 1 : x < 0 ? -1 : x);
  });
  return record("sign", std::move(out), {a}, [](const BackwardContext& ctx) {
    return std::vector<Variable>{detail::no_gradient(ctx.grad)};
  });
}

OpInfo sign_op() {
  const auto run = [](const std::vector<Variable>& in) { return sign(in[0]); };
  return {.name = "sign",
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = v < 0.0 ? -1.0 : v > 0.0 ? 1.0 : 0.0;
            return y;
          }};
}

}  // namespace espalier
