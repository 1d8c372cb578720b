// SPDX-License-Identifier: Apache-2.0
// leaky_relu: a where a > 0, else slope * a.  d/da = 1 where a > 0, else slope.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable leaky_relu(const Variable& a, double slope) {
  Tensor out = detail::map(a.value(), "leaky_relu", [slope](auto x) {
    using T = decltype(x);
    // Two selections and a product, not a selected product, which gcc 12 leaves in a branch.
    return (x > 0 ? x : T(0)) + T(slope) * (x > 0 ? T(0) : x);
  });
  detail::describe_op([&] { return OpAttributes{{"slope", slope}}; });
  return record(
      "leaky_relu", std::move(out), {a}, [a = Saved(a), slope](const BackwardContext& ctx) {
        return std::vector<Variable>{detail::gate(ctx.grad, a.value(), [slope](auto g, auto x) {
          using T = decltype(x);
          return (x > 0 ? g : T(0)) + T(slope) * (x > 0 ? T(0) : g);
        })};
      });
}

OpInfo leaky_relu_op() {
  const auto run = [](const std::vector<Variable>& in) { return leaky_relu(in[0], 0.1); };
  return {.name = "leaky_relu",
          .rule = OpRule::ZeroToZero,
          .attributes = {"slope"},
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"falling",
                       {sample_tensor({4, 3}, 5, -2.0, 2.0)},
                       [](const std::vector<Variable>& in) { return leaky_relu(in[0], -0.5); },
                       {0}},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            const double slope = sample.name == "falling" ? -0.5 : 0.1;
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = std::max(v, 0.0) + slope * std::min(v, 0.0);
            return y;
          }};
}

}  // namespace espalier
