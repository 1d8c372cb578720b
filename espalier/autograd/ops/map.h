// SPDX-License-Identifier: Apache-2.0
/// Values and gradients of element-wise ops from one formula per element. Formulas are generic
/// lambdas, instantiated for float32 and float64. Not a public interface.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include <espalier/autograd/ops/detail.h>
#include <espalier/autograd/variable.h>
#include <espalier/core/loops.h>

namespace espalier::detail {

/// f(a) for every element.
template <class F>
Tensor map(const Tensor& a, std::string_view op, F f) {
  Tensor out = Tensor::empty_like(a);
  dispatch_floating(a.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T>(out, a, f);
  });
  return out;
}

/// f(a, b) for every element of the shape that a and b broadcast to.
template <class F>
Tensor map(const Tensor& a, const Tensor& b, std::string_view op, F f) {
  check_same_dtype(a, b, op);
  const Broadcast to = broadcast(a, b, op);
  Tensor out = Tensor::empty(to.shape, a.dtype(), to.layout);
  dispatch_floating(a.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(out, a, b, f);
  });
  return out;
}

/// f(a, b, c) for every element of the shape of `a`, to which b and c broadcast.
template <class F>
Tensor map(const Tensor& a, const Tensor& b, const Tensor& c, std::string_view op, F f) {
  check_same_dtype(a, b, op);
  check_same_dtype(a, c, op);
  Tensor out = Tensor::empty_like(a);
  dispatch_floating(a.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T, T>(out, a, b, c, f);
  });
  return out;
}

/// The gradient of an element-wise op: `fused(gradient, saved)` in one pass when the backward pass
/// is not recorded, else `recorded()`, which says the same in differentiable ops.
template <class Fused, class Recorded>
Variable chain(const Variable& gradient, const Variable& saved, Fused fused, Recorded recorded) {
  if (is_recording()) return recorded();
  return Variable(map(gradient.value(), saved.value(), "backward", fused));
}

/// f(gradient, saved) for an f that is linear in the gradient and in which `saved` only selects (a
/// derivative that is constant by pieces): its own backward is itself.
template <class F>
Variable gate(const Variable& gradient, const Tensor& saved, F f) {
  Tensor out = map(gradient.value(), saved, "backward", f);
  return record(
      "gate", std::move(out), {gradient}, [saved = Saved(saved), f](const BackwardContext& ctx) {
        return std::vector<Variable>{gate(ctx.grad, saved.value(), f)};
      });
}

/// Zeros in the shape of a gradient that nothing depends on: also where that is infinite or NaN.
inline Variable no_gradient(const Variable& gradient) {
  return gate(
      gradient, Tensor::scalar(0.0, gradient.dtype()), [](auto, auto zero) { return zero; });
}

}  // namespace espalier::detail
