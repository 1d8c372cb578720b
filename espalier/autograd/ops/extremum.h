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
template <class Better>
Variable extremum(const char* name, const Variable& a, const Variable& b, Better better) {
  Tensor out = map(a.value(), b.value(), name, [better](auto x, auto y) {
    return better(x, y) | (x != x) ? x : y;
  });
  return record(name,
                std::move(out),
                {a, b},
                [a = Saved(a), b = Saved(b), better](const BackwardContext& ctx) {
                  // Of a; 2 where one is NaN. Selections by one condition, as in clamp.cpp.
                  const Tensor share =
                      map(a.value(), b.value(), "backward", [better](auto x, auto y) {
                        using T = decltype(x);
                        const T first = better(x, y) ? T(1) : T(0);
                        const T second = better(y, x) ? T(1) : T(0);
                        return (x == x) & (y == y) ? T(0.5) * (1 + first - second) : T(2);
                      });
                  std::vector<Variable> gradients(2);
                  if (ctx.needs[0]) {
                    const Variable ga = gate(ctx.grad, share, [](auto g, auto s) {
                      using T = decltype(s);
                      const T part = s > 1 ? T(1) : s;
                      return (part == 0 ? T(0) : g) * part;
                    });
                    gradients[0] = sum_to(ga, a.shape(), a.layout());
                  }
                  if (ctx.needs[1]) {
                    const Variable gb = gate(ctx.grad, share, [](auto g, auto s) {
                      using T = decltype(s);
                      const T part = s > 1 ? T(1) : 1 - s;
                      return (part == 0 ? T(0) : g) * part;
                    });
                    gradients[1] = sum_to(gb, b.shape(), b.layout());
                  }
                  return gradients;
                });
}

}  // namespace espalier::detail
