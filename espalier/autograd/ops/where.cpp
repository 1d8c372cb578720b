// SPDX-License-Identifier: Apache-2.0
// where: a where the condition is not 0, else b.  Each gets the gradient of its own elements.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/loops.h>

namespace espalier {

Variable where(const Tensor& condition, const Variable& a, const Variable& b) {
  detail::check_same_dtype(a, b, "where");
  ESPALIER_CHECK(condition.dtype() == DType::U8,
                 TypeError,
                 "where: expects an uint8 condition, got ",
                 condition);
  Broadcast to = broadcast(a.value(), b.value(), "where");
  const Shape values = to.shape;
  to.shape = broadcast_shapes(condition.shape(), values, "where");
  const auto spans = [&](const Tensor& t) {
    return t.layout() == Layout::Nchw16n && t.rank() == to.shape.rank() && t.size(0) == to.shape[0];
  };
  const bool lanes = spans(condition) || spans(a.value()) || spans(b.value());
  Tensor out = Tensor::empty(to.shape, a.dtype(), lanes ? Layout::Nchw16n : Layout::Nchw);
  dispatch_floating(a.dtype(), "where", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, uint8_t, T, T>(
        out, condition, a.value(), b.value(), [](uint8_t c, T x, T y) { return c != 0 ? x : y; });
  });
  return record(
      "where",
      std::move(out),
      {a, b},
      [condition = Saved(condition), sa = detail::meta(a), sb = detail::meta(b)](const auto& ctx) {
        const Variable zero(Tensor::scalar(0.0, ctx.grad.dtype()));
        std::vector<Variable> gradients(2);
        if (ctx.needs[0]) {
          gradients[0] = sum_to(where(condition.value(), ctx.grad, zero), sa.shape, sa.layout);
        }
        if (ctx.needs[1]) {
          gradients[1] = sum_to(where(condition.value(), zero, ctx.grad), sb.shape, sb.layout);
        }
        return gradients;
      });
}

OpInfo where_op() {
  const auto by = [](const Shape& shape, std::vector<uint8_t> condition) {
    return [c = Tensor::from(shape, condition)](const std::vector<Variable>& in) {
      return where(c, in[0], in[1]);
    };
  };
  return {.name = "where",
          .rule = OpRule::Freezes,
          .samples = {
              {"same shape",
               {sample_tensor({2, 2}, 1), sample_tensor({2, 2}, 2)},
               by({2, 2}, {1, 0, 0, 1}),
               {0, 1}},
              {"condition per channel",
               {sample_tensor({17, 3, 2}, 1), sample_tensor({17, 3, 2}, 2)},
               by({3, 1}, {0, 1, 2}),
               {0, 1}},
              {"scalar else", {sample_tensor({3}, 1), sample_tensor({}, 2)}, by({3}, {0, 1, 0})},
              {"condition spans",
               {sample_tensor({1, 3}, 1), sample_tensor({}, 2)},
               by({2, 3}, {0, 1, 0, 1, 1, 1})},
              {"empty", {sample_tensor({0, 3}, 1), sample_tensor({3}, 2)}, by({3}, {0, 1, 0})}}};
}

}  // namespace espalier
