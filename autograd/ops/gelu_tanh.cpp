// SPDX-License-Identifier: Apache-2.0
// gelu_tanh: a/2 (1 + t), t = tanh(u), u = k (a + c a^3), k = sqrt(2/pi), c = 0.044715.
// d/da = (1 + t) / 2 + a/2 (1 - t^2) k (1 + 3 c a^2).  Source: arXiv:1606.08415, section 2.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {
namespace {

constexpr double kRoot2OverPi = 0.79788456080286535588;
constexpr double kCubic = 0.044715;

/// u of a.
Variable argument(const Variable& a) {
  return mul(a, add(mul(mul(a, a), kCubic * kRoot2OverPi), kRoot2OverPi));
}

template <class T>
T argument(T x) {
  return T(kRoot2OverPi) * (x + T(kCubic) * x * x * x);
}

template <class T>
T derivative(T x) {
  const T t = std::tanh(argument(x));
  const T inner = T(kRoot2OverPi) * (1 + T(3 * kCubic) * x * x);
  // Far out t is +-1 and its slope 0, while the polynomial may overflow.
  const T slope = 1 - t * t;
  return T(0.5) * (1 + t) + (slope == 0 ? T(0) : T(0.5) * x * slope * inner);
}

}  // namespace

Variable gelu_tanh(const Variable& a) {
  Tensor out = detail::map(a.value(), "gelu_tanh", [](auto x) {
    using T = decltype(x);
    return x * T(0.5) * (1 + std::tanh(argument(x)));
  });
  return record("gelu_tanh", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    return std::vector<Variable>{detail::chain(
        ctx.grad,
        a,
        [](auto g, auto x) { return g * derivative(x); },
        [&] {
          const Variable t = tanh(argument(a));
          const Variable inner = add(mul(mul(a, a), 3 * kCubic * kRoot2OverPi), kRoot2OverPi);
          const Variable slope = 1.0 - mul(t, t);
          return mul(ctx.grad, mul(add(add(t, 1.0), mul(mul(a, slope), inner)), 0.5));
        })};
  });
}

OpInfo gelu_tanh_op() {
  const auto run = [](const std::vector<Variable>& in) { return gelu_tanh(in[0]); };
  return {.name = "gelu_tanh",
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          // By the logistic function: (1 + tanh u) / 2 = 1 / (1 + e^-2u).
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) {
              const double u = std::sqrt(2.0 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
              v = v / (1.0 + std::exp(-2.0 * u));
            }
            return y;
          }};
}

}  // namespace espalier
