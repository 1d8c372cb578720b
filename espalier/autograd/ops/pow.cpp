// SPDX-License-Identifier: Apache-2.0
// pow: a^p.  d/da = p a^(p-1), 0 where p = 0; d/dp = a^p log a, 0 where a = 0 and p >= 0.
#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {
namespace {

template <class T>
T power(T x, double p) {
  return std::pow(x, static_cast<T>(p));
}

Tensor power(const Tensor& a, double p) {
  if (p == 2.0) return detail::map(a, "pow", [](auto x) { return x * x; });
  if (p == 1.0) return a.clone();
  if (p == 3.0) return detail::map(a, "pow", [](auto x) { return x * x * x; });
  if (p == 0.5) return detail::map(a, "pow", [](auto x) { return std::sqrt(x); });
  if (p == -1.0) return detail::map(a, "pow", [](auto x) { return 1 / x; });
  return detail::map(a, "pow", [p](auto x) { return power(x, p); });
}

/// 1 where `f(a, b)` holds.
template <class F>
Tensor positions(const Tensor& a, const Tensor& b, F f) {
  const Broadcast to = broadcast(a, b, "pow");
  Tensor out = Tensor::empty(to.shape, DType::U8, to.layout);
  dispatch_floating(a.dtype(), "pow", [&](auto zero) {
    using T = decltype(zero);
    map_into<uint8_t, T, T>(
        out, a, b, [f](T x, T y) { return static_cast<uint8_t>(f(x, y) ? 1 : 0); });
  });
  return out;
}

/// b a^(b-1). At (0, 0), where the formula would say 0 times infinity, it sees a base of 1, so that
/// its own derivative is no such product either.
Variable base_slope(const Variable& a, const Variable& b) {
  const Tensor none =
      positions(a.value(), b.value(), [](auto x, auto p) { return (x == 0) & (p == 0); });
  const Variable one(Tensor::scalar(1.0, a.dtype()));
  const Variable zero(Tensor::scalar(0.0, a.dtype()));
  return where(none, zero, mul(b, pow(where(none, one, a), sub(b, one))));
}

/// y log a, with y = a^b.
Variable exponent_slope(const Variable& a, const Variable& b, const Variable& y) {
  const Tensor none =
      positions(a.value(), b.value(), [](auto x, auto p) { return (x == 0) & (p >= 0); });
  const Variable one(Tensor::scalar(1.0, a.dtype()));
  return mul(y, log(where(none, one, a)));
}

}  // namespace

Variable pow(const Variable& a, double exponent) {
  Tensor out = power(a.value(), exponent);
  detail::describe_op([&] { return OpAttributes{{"exponent", exponent}}; });
  return record("pow", std::move(out), {a}, [a = Saved(a), p = exponent](const auto& ctx) {
    if (p == 0.0) return std::vector<Variable>{detail::no_gradient(ctx.grad)};
    const auto by_ops = [&] { return mul(ctx.grad, mul(pow(a, p - 1.0), p)); };
    if (p == 2.0) {
      return std::vector<Variable>{detail::chain(
          ctx.grad, a, [](auto g, auto x) { return g * 2 * x; }, by_ops)};
    }
    if (is_recording()) return std::vector<Variable>{by_ops()};
    const Tensor lower = power(a.value(), p - 1.0);
    return std::vector<Variable>{
        Variable(detail::map(ctx.grad.value(), lower, "backward", [p](auto g, auto x) {
          return g * static_cast<decltype(x)>(p) * x;
        }))};
  });
}

Variable pow(const Variable& a, const Variable& b) {
  Tensor out =
      detail::map(a.value(), b.value(), "pow", [](auto x, auto y) { return std::pow(x, y); });
  return record(
      "pow",
      std::move(out),
      {a, b},
      [a = Saved(a), b = Saved(b)](const BackwardContext& ctx) {
        std::vector<Variable> gradients(2);
        if (ctx.needs[0]) {
          gradients[0] = sum_to(mul(ctx.grad, base_slope(a, b)), a.shape(), a.layout());
        }
        if (ctx.needs[1]) {
          const Variable slope = exponent_slope(a, b, ctx.output);
          gradients[1] = sum_to(mul(ctx.grad, slope), b.shape(), b.layout());
        }
        return gradients;
      },
      b.requires_grad() ? SaveOutput::Yes : SaveOutput::No);
}

OpInfo pow_op() {
  const auto to = [](double p) {
    return [p](const std::vector<Variable>& in) { return pow(in[0], p); };
  };
  const auto run = [](const std::vector<Variable>& in) { return pow(in[0], in[1]); };
  return {
      .name = "pow",
      .rule = OpRule::Elementwise,
      .attributes = {"exponent"},
      .samples = {
          {"square", {sample_tensor({17, 3}, 1)}, to(2.0), {0}},
          {"cube", {sample_tensor({2, 3}, 2)}, to(3.0), {0}},
          {"root", {sample_tensor({2, 3}, 3, 0.5, 2.0)}, to(0.5), {0}},
          {"inverse", {sample_tensor({17, 3}, 4, 0.5, 2.0)}, to(-1.0), {0}},
          {"exponent 2.5", {sample_tensor({17, 3}, 5, 0.5, 2.0)}, to(2.5), {0}},
          {"exponent 1", {sample_tensor({2, 3}, 6)}, to(1.0), {0}},
          {"exponent 0", {sample_tensor({17, 3}, 7)}, to(0.0), {0}},
          {"variable exponent",
           {sample_tensor({17, 3}, 8, 0.5, 2.0), sample_tensor({17, 3}, 9, -2.0, 2.0)},
           run,
           {0, 1}},
          {"broadcast exponent", {sample_tensor({2, 3}, 8, 0.5, 2.0), sample_tensor({3}, 9)}, run},
          {"empty", {sample_tensor({0, 3}, 1)}, to(2.0), {0}}}};
}

}  // namespace espalier
