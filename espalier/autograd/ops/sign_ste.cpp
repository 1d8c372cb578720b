// SPDX-License-Identifier: Apache-2.0
// sign_ste: 1 where a >= 0, else -1.  The gradient passes where |a| <= 1 (hard tanh's derivative).
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable sign_ste(const Variable& a) {
  Tensor out = detail::map(a.value(), "sign_ste", [](auto x) {
    using T = decltype(x);
    return x >= 0 ? T{1} : x < 0 ? T{-1} : x;
  });
  return record("sign_ste", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    return std::vector<Variable>{detail::gate(
        ctx.grad, a.value(), [](auto g, auto x) { return std::abs(x) <= 1 ? g : decltype(g){0}; })};
  });
}

OpInfo sign_ste_op() {
  const auto run = [](const std::vector<Variable>& in) { return sign_ste(in[0]); };
  return {.name = "sign_ste",
          .rule = OpRule::Elementwise,
          .gradient = OpGradient::StraightThrough,
          .samples = {{"rows", {sample_tensor({17, 3}, 1, -2.0, 2.0)}, run, {0}},
                      {"empty", {sample_tensor({0, 3}, 2)}, run, {0}}}};
}

}  // namespace espalier
