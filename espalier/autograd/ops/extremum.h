// SPDX-License-Identifier: Apache-2.0
/// What minimum and maximum share. Not a public interface.
#pragma once

#include <utility>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier::detail {

/// The one of a and b that `better(x, y)` prefers, element by element; NaN wins over numbers.
/// d/da = 1 where a was taken, 1/2 where a = b, else 0; d/db = 1 - d/da; both 1 where one is NaN.
/// A selection, not a product with 0: that times an infinite gradient would be NaN.
/// `|`, not `||`: without branches the loops vectorize.
/// Gradients take the form, a selection and a product behind it, that gcc 12 vectorizes; two
/// selections in a row it makes branches of, forty times as slow.
template <class Better>
Variable extremum(const char* name, const Variable& a, const Variable& b, Better better) {
  Tensor out = map(a.value(), b.value(), name, [better](auto x, auto y) {
    return better(x, y) | (x != x) ? x : y;
  });
  return record(
      name,
      std::move(out),
      {a, b},
      [a = Saved(a), b = Saved(b), better](const BackwardContext& ctx) {
        const auto gradient = [&](const Variable& of, const Variable& other) {
          const Tensor share = map(of.value(), other.value(), "backward", [better](auto x, auto y) {
            using T = decltype(x);
            const T first = better(x, y) ? T(1) : T(0);
            const T second = better(y, x) ? T(1) : T(0);
            return (x == x) & (y == y) ? T(0.5) * (1 + first - second) : T(1);
          });
          const Variable part = gate(
              ctx.grad, share, [](auto g, auto s) { return (s == 0 ? decltype(g){0} : g) * s; });
          return sum_to(part, of.shape(), of.layout());
        };
        return std::vector<Variable>{ctx.needs[0] ? gradient(a, b) : Variable(),
                                     ctx.needs[1] ? gradient(b, a) : Variable()};
      });
}

}  // namespace espalier::detail
