// SPDX-License-Identifier: Apache-2.0
// add: a + b.  d/da = 1, d/db = 1.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/loops.h>

namespace espalier {

Variable add(const Variable& a, const Variable& b) {
  detail::check_same_dtype(a, b, "add");
  const Broadcast shape = broadcast(a.value(), b.value(), "add");
  Tensor out = Tensor::empty(shape.shape, a.dtype(), shape.layout);
  dispatch_floating(a.dtype(), "add", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(out, a.value(), b.value(), [](T x, T y) { return x + y; });
  });
  return record("add", out, {a, b}, [sa = detail::meta(a), sb = detail::meta(b)](const auto& ctx) {
    return std::vector<Variable>{ctx.needs[0] ? sum_to(ctx.grad, sa.shape, sa.layout) : Variable(),
                                 ctx.needs[1] ? sum_to(ctx.grad, sb.shape, sb.layout) : Variable()};
  });
}

Variable add(const Variable& a, double constant) {
  return add(a, Variable(Tensor::scalar(constant, a.dtype())));
}

OpInfo add_op() {
  const auto run = [](const std::vector<Variable>& in) { return add(in[0], in[1]); };
  return {.name = "add",
          .rule = OpRule::Sum,
          .samples = {
              {"same shape", {sample_tensor({2, 3}, 1), sample_tensor({2, 3}, 2)}, run, {0, 1}},
              {"channel bias", {sample_tensor({17, 3, 2}, 1), sample_tensor({3, 1}, 2)}, run, {0}},
              {"both broadcast", {sample_tensor({2, 1}, 1), sample_tensor({1, 3}, 2)}, run},
              {"scalar", {sample_tensor({3}, 1), sample_tensor({}, 2)}, run, {0}},
              {"empty", {sample_tensor({0, 3}, 1), sample_tensor({3}, 2)}, run},
          }};
}

}  // namespace espalier
