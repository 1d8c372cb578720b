// SPDX-License-Identifier: Apache-2.0
// sub: a - b.  d/da = 1, d/db = -1.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable sub(const Variable& a, const Variable& b) {
  Tensor out = detail::map(a.value(), b.value(), "sub", [](auto x, auto y) { return x - y; });
  return record("sub",
                std::move(out),
                {a, b},
                [sa = detail::meta(a), sb = detail::meta(b)](const BackwardContext& ctx) {
                  return std::vector<Variable>{
                      ctx.needs[0] ? sum_to(ctx.grad, sa.shape, sa.layout) : Variable(),
                      ctx.needs[1] ? neg(sum_to(ctx.grad, sb.shape, sb.layout)) : Variable()};
                });
}

OpInfo sub_op() {
  const auto run = [](const std::vector<Variable>& in) { return sub(in[0], in[1]); };
  return {
      .name = "sub",
      .rule = OpRule::Sum,
      .samples = {
          {"same shape", {sample_tensor({2, 3}, 1), sample_tensor({2, 3}, 2)}, run, {0, 1}},
          {"channels", {sample_tensor({17, 3, 2}, 1), sample_tensor({3, 1}, 2)}, run, {0}},
          {"channels first", {sample_tensor({3, 1}, 3), sample_tensor({17, 3, 2}, 4)}, run, {1}},
          {"both broadcast", {sample_tensor({2, 1}, 1), sample_tensor({1, 3}, 2)}, run},
          {"scalar", {sample_tensor({3}, 1), sample_tensor({}, 2)}, run, {0}},
          {"empty", {sample_tensor({0, 3}, 1), sample_tensor({3}, 2)}, run}}};
}

}  // namespace espalier
