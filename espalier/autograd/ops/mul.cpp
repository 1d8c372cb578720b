// SPDX-License-Identifier: Apache-2.0
// mul: a * b.  d/da = b, d/db = a.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/loops.h>

namespace espalier {

Variable mul(const Variable& a, const Variable& b) {
  detail::check_same_dtype(a, b, "mul");
  const Broadcast shape = broadcast(a.value(), b.value(), "mul");
  Tensor out = Tensor::empty(shape.shape, a.dtype(), shape.layout);
  dispatch_floating(a.dtype(), "mul", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(out, a.value(), b.value(), [](T x, T y) { return x * y; });
  });
  // Each operand is saved only if the other one's gradient needs it.
  return record("mul",
                out,
                {a, b},
                [sa = detail::meta(a),
                 sb = detail::meta(b),
                 a = Saved(b.requires_grad() ? a : Variable()),
                 b = Saved(a.requires_grad() ? b : Variable())](const auto& ctx) {
                  return std::vector<Variable>{
                      ctx.needs[0] ? sum_to(mul(ctx.grad, b), sa.shape, sa.layout) : Variable(),
                      ctx.needs[1] ? sum_to(mul(ctx.grad, a), sb.shape, sb.layout) : Variable()};
                });
}

Variable mul(const Variable& a, double constant) {
  return mul(a, Variable(Tensor::scalar(constant, a.dtype())));
}

OpInfo mul_op() {
  const auto run = [](const std::vector<Variable>& in) { return mul(in[0], in[1]); };
  return {.name = "mul",
          .rule = OpRule::Product,
          .samples = {
              {"same shape", {sample_tensor({2, 3}, 1), sample_tensor({2, 3}, 2)}, run, {0, 1}},
              {"channel scale", {sample_tensor({17, 3, 2}, 1), sample_tensor({3, 1}, 2)}, run, {0}},
              {"both broadcast", {sample_tensor({2, 1}, 1), sample_tensor({1, 3}, 2)}, run},
              {"scalar", {sample_tensor({3}, 1), sample_tensor({}, 2)}, run, {0}},
              {"empty", {sample_tensor({0, 3}, 1), sample_tensor({3}, 2)}, run},
          }};
}

}  // namespace espalier
