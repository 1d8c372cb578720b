// SPDX-License-Identifier: Apache-2.0
// neg: -a.  d/da = -1.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable neg(const Variable& a) {
  Tensor out = detail::map(a.value(), "neg", [](auto x) { return -x; });
  return record("neg", std::move(out), {a}, [](const BackwardContext& ctx) {
    return std::vector<Variable>{neg(ctx.grad)};
  });
}

OpInfo neg_op() {
  const auto run = [](const std::vector<Variable>& in) { return neg(in[0]); };
  return {.name = "neg",
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = -v;
            return y;
          }};
}

}  // namespace espalier
