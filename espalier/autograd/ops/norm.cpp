// SPDX-License-Identifier: Apache-2.0
// norm: y = (sum |a|^p)^(1/p).  d/da = sign(a) |a|^(p-1) / y^(p-1), 0 where y = 0.
#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {
namespace {

Tensor zeros_of(const Variable& a) {
  Tensor is_zero = Tensor::empty(a.shape(), DType::U8, a.layout());
  dispatch_floating(a.dtype(), "norm", [&](auto zero) {
    using T = decltype(zero);
    map_into<uint8_t, T>(is_zero, a.value(), [](T v) { return static_cast<uint8_t>(v == 0); });
  });
  return is_zero;
}

/// `a` where it is not 0, else 1: for divisors, and for powers below 1, whose derivative at 0 is
/// infinite.
Variable nonzero(const Variable& a) {
  return where(zeros_of(a), Variable(Tensor::scalar(1.0, a.dtype())), a);
}

/// sign(a) |a|^q, q >= 0, and a derivative of 0 at 0.
Variable signed_power(const Variable& a, double q) {
  if (q == 0.0) return sign(a);
  if (q == 1.0) return a;
  const Variable zero(Tensor::scalar(0.0, a.dtype()));
  return where(zeros_of(a), zero, mul(a, pow(abs(nonzero(a)), q - 1.0)));
}

Tensor norm_value(const Variable& a, double p, const std::vector<int>& dims, bool keepdim) {
  const NoGrad no_grad;
  const OpObserverScope unseen(nullptr);  // to whoever looks on it is one op
  if (p == 1.0) return sum(abs(a), dims, keepdim).value();
  if (p == 2.0) return sqrt(sum(mul(a, a), dims, keepdim)).value();
  return pow(sum(pow(abs(a), p), dims, keepdim), 1.0 / p).value();
}

}  // namespace

Variable norm(const Variable& a, double p, const std::vector<int>& dims, bool keepdim) {
  ESPALIER_CHECK(p >= 1.0 && std::isfinite(p), ValueError, "norm: expects 1 <= p < inf, got ", p);
  const std::vector<bool> over = detail::reduced_dims(a.shape(), dims, "norm");
  Tensor out = norm_value(a, p, dims, keepdim);
  detail::describe_op([&] {
    return OpAttributes{{"p", p}, {"dims", detail::dims_of(over)}, {"keepdim", int64_t{keepdim}}};
  });
  return record(
      "norm",
      std::move(out),
      {a},
      [a = Saved(a), p, over](const BackwardContext& ctx) {
        if (p == 1.0) {
          return std::vector<Variable>{
              mul(detail::repeat_along(ctx.grad, over, detail::meta(a)), sign(a))};
        }
        const Variable divisor = nonzero(ctx.output);
        const Variable quotient = div(ctx.grad, p == 2.0 ? divisor : pow(divisor, p - 1.0));
        const Variable zero(Tensor::scalar(0.0, a.dtype()));
        const Variable scale = where(zeros_of(ctx.output), zero, quotient);
        return std::vector<Variable>{
            mul(detail::repeat_along(scale, over, detail::meta(a)), signed_power(a, p - 1.0))};
      },
      SaveOutput::Yes);
}

OpInfo norm_op() {
  const auto over = [](double p, std::vector<int> dims, bool keepdim) {
    return [=](const std::vector<Variable>& in) { return norm(in[0], p, dims, keepdim); };
  };
  return {.name = "norm",
          .rule = OpRule::Freezes,
          .attributes = {"p", "dims", "keepdim"},
          .samples = {{"all", {sample_tensor({17, 3}, 1)}, over(2.0, {}, false), {0}},
                      {"filters", {sample_tensor({17, 3, 2}, 2)}, over(2.0, {1, 2}, true), {0}},
                      {"p 1", {sample_tensor({17, 3}, 3)}, over(1.0, {0}, false), {0}},
                      {"p 3", {sample_tensor({17, 3}, 4)}, over(3.0, {1}, false), {0}},
                      {"p 1.5", {sample_tensor({4, 3}, 7)}, over(1.5, {0}, true), {0}},
                      {"p 2.5", {sample_tensor({4, 3}, 5)}, over(2.5, {0}, true), {0}},
                      {"no columns", {sample_tensor({3, 0}, 6)}, over(2.0, {0}, false)}}};
}

}  // namespace espalier
