// SPDX-License-Identifier: Apache-2.0
// div: y = a / b.  d/da = 1 / b, d/db = -y / b; so a is not kept.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {
namespace {

/// -gradient * y / b.
Variable divisor_gradient(const Variable& gradient, const Variable& y, const Variable& b) {
  if (is_recording()) return neg(div(mul(gradient, y), b));
  return Variable(
      detail::map(y.value(), gradient.value(), b.value(), "div", [](auto q, auto g, auto d) {
        return -(g * q) / d;
      }));
}

}  // namespace

Variable div(const Variable& a, const Variable& b) {
  Tensor out = detail::map(a.value(), b.value(), "div", [](auto x, auto y) { return x / y; });
  return record(
      "div",
      std::move(out),
      {a, b},
      [b = Saved(b), sa = detail::meta(a)](const BackwardContext& ctx) {
        std::vector<Variable> gradients(2);
        if (ctx.needs[0]) gradients[0] = sum_to(div(ctx.grad, b), sa.shape, sa.layout);
        if (ctx.needs[1]) {
          gradients[1] = sum_to(divisor_gradient(ctx.grad, ctx.output, b), b.shape(), b.layout());
        }
        return gradients;
      },
      b.requires_grad() ? SaveOutput::Yes : SaveOutput::No);
}

Variable operator/(double a, const Variable& b) {
  return div(Variable(Tensor::scalar(a, b.dtype())), b);
}

OpInfo div_op() {
  const auto run = [](const std::vector<Variable>& in) { return div(in[0], in[1]); };
  const auto inverse = [](const std::vector<Variable>& in) { return 1.5 / in[0]; };
  return {
      .name = "div",
      .rule = OpRule::Quotient,
      .samples = {
          {"same shape",
           {sample_tensor({2, 3}, 1), sample_tensor({2, 3}, 2, 0.5, 2.0)},
           run,
           {0, 1}},
          {"channels",
           {sample_tensor({17, 3, 2}, 1), sample_tensor({3, 1}, 2, 0.5, 2.0)},
           run,
           {0}},
          {"channels first",
           {sample_tensor({3, 1}, 3), sample_tensor({17, 3, 2}, 4, 0.5, 2.0)},
           run,
           {1}},
          {"both broadcast", {sample_tensor({2, 1}, 1), sample_tensor({1, 3}, 2, 0.5, 2.0)}, run},
          {"scalar", {sample_tensor({3}, 1), sample_tensor({}, 2, 0.5, 2.0)}, run, {0}},
          {"of a constant", {sample_tensor({17, 3, 2}, 5, 0.5, 2.0)}, inverse, {0}},
          {"empty", {sample_tensor({0, 3}, 1), sample_tensor({3}, 2)}, run}}};
}

}  // namespace espalier
