// SPDX-License-Identifier: Apache-2.0
// log: natural logarithm.  d/da = 1 / a.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {

Variable log(const Variable& a) {
  Tensor out = detail::map(VectorFunction::Log, a.value(), "log");
  return record("log", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    return std::vector<Variable>{div(ctx.grad, a)};
  });
}

OpInfo log_op() {
  const auto run = [](const std::vector<Variable>& in) { return log(in[0]); };
  return {.name = "log",
          .rule = OpRule::Elementwise,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, 0.5, 3.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, 0.5, 3.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, 0.5, 3.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = std::log(v);
            return y;
          }};
}

}  // namespace espalier
