// SPDX-License-Identifier: Apache-2.0
// step_ste: 1 where a >= 0, else 0.  The gradient passes unchanged.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable step_ste(const Variable& a) {
  Tensor out = detail::map(a.value(), "step_ste", [](auto x) {
    using T = decltype(x);
    return x >= 0 ? T{1} : x < 0 ? T{0} : x;
  });
  return record("step_ste", std::move(out), {a}, [](const BackwardContext& ctx) {
    return std::vector<Variable>{ctx.grad};
  });
}

OpInfo step_ste_op() {
  const auto run = [](const std::vector<Variable>& in) { return step_ste(in[0]); };
  return {.name = "step_ste",
          .rule = OpRule::Elementwise,
          .gradient = OpGradient::StraightThrough,
          .samples = {{"rows", {sample_tensor({17, 3}, 1)}, run, {0}},
                      {"empty", {sample_tensor({0, 3}, 2)}, run, {0}}}};
}

}  // namespace espalier
