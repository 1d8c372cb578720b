// SPDX-License-Identifier: Apache-2.0
// round_ste: the nearest integer, halves to even.  The gradient passes unchanged.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable round_ste(const Variable& a) {
  // nearbyint follows the rounding mode, which is to nearest, halves to even, unless changed.
  Tensor out = detail::map(a.value(), "round_ste", [](auto x) { return std::nearbyint(x); });
  return record("round_ste", std::move(out), {a}, [](const BackwardContext& ctx) {
    return std::vector<Variable>{ctx.grad};
  });
}

OpInfo round_ste_op() {
  const auto run = [](const std::vector<Variable>& in) { return round_ste(in[0]); };
  return {.name = "round_ste",
          .rule = OpRule::ZeroToZero,
          .gradient = OpGradient::StraightThrough,
          .samples = {{"rows", {sample_tensor({17, 3}, 1, -4.0, 4.0)}, run, {0}},
                      {"empty", {sample_tensor({0, 3}, 2)}, run, {0}}}};
}

}  // namespace espalier
