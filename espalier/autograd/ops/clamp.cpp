// SPDX-License-Identifier: Apache-2.0
// clamp: a limited to [low, high].  d/da = 1 inside and on the limits, 0 outside.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {

Variable clamp(const Variable& a, double low, double high) {
  ESPALIER_CHECK(low <= high, ValueError, "clamp: expects low <= high, got ", low, " and ", high);
  Tensor out = detail::map(a.value(), "clamp", [low, high](auto x) {
    using T = decltype(x);
    // One condition after the other, each a selection: in one expression gcc 12 makes branches of
    // them, ten times as slow. Comparisons with a NaN are false: it stays.
    const T above = x < T(low) ? T(low) : x;
    return above > T(high) ? T(high) : above;
  });
  detail::describe_op([&] { return OpAttributes{{"low", low}, {"high", high}}; });
  return record(
      "clamp", std::move(out), {a}, [a = Saved(a), low, high](const BackwardContext& ctx) {
        return std::vector<Variable>{detail::gate(ctx.grad, a.value(), [low, high](auto g, auto x) {
          using T = decltype(x);
          // `&`, not `&&`: without a branch the loop vectorizes.
          return (x >= T(low)) & (x <= T(high)) ? g : T{0};
        })};
      });
}

OpInfo clamp_op() {
  const auto run = [](const std::vector<Variable>& in) { return clamp(in[0], -0.5, 0.75); };
  return {.name = "clamp",
          .rule = OpRule::Clamp,
          .attributes = {"low", "high"},
          .samples = {{"rows", {sample_tensor({3, 5}, 1)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2)}, run, {0}},
                      // Padding lanes hold 0, which this range excludes: they must stay 0.
                      {"range above zero",
                       {sample_tensor({17, 3}, 5)},
                       [](const std::vector<Variable>& in) { return clamp(in[0], 0.25, 0.75); },
                       {0}},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}}};
}

}  // namespace espalier
