// SPDX-License-Identifier: Apache-2.0
// gelu: a Phi(a), Phi = distribution function of the standard normal = erfc(-a / sqrt 2) / 2.
// d/da = Phi(a) + a phi(a), phi = its density.  Source: arXiv:1606.08415.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {
namespace {

constexpr double kInverseSqrt2 = 0.70710678118654752440;
constexpr double kInverseSqrt2Pi = 0.39894228040143267794;

/// Density of the standard normal distribution.
Variable normal_density(const Variable& a) {
  return mul(exp(mul(mul(a, a), -0.5)), kInverseSqrt2Pi);
}

/// Its distribution function, Phi; d/da = density.
Variable normal_cdf(const Variable& a) {
  Tensor out = detail::map(a.value(), "gelu", [](auto x) {
    using T = decltype(x);
    return T(0.5) * std::erfc(-x * T(kInverseSqrt2));
  });
  return record("normal_cdf", std::move(out), {a}, [a](const BackwardContext& ctx) {
    return std::vector<Variable>{mul(ctx.grad, normal_density(a))};
  });
}

template <class T>
T gelu_derivative(T x) {
  const T cdf = T(0.5) * std::erfc(-x * T(kInverseSqrt2));
  return cdf + x * T(kInverseSqrt2Pi) * std::exp(T(-0.5) * x * x);
}

}  // namespace

Variable gelu(const Variable& a) {
  Tensor out = detail::map(a.value(), "gelu", [](auto x) {
    using T = decltype(x);
    // erfc, not 1 + erf: exact far to the left, where the result is tiny.
    return x * T(0.5) * std::erfc(-x * T(kInverseSqrt2));
  });
  return record("gelu", std::move(out), {a}, [a](const BackwardContext& ctx) {
    return std::vector<Variable>{detail::chain(
        ctx.grad,
        a,
        [](auto g, auto x) { return g * gelu_derivative(x); },
        [&] { return mul(ctx.grad, add(normal_cdf(a), mul(a, normal_density(a)))); })};
  });
}

OpInfo gelu_op() {
  const auto run = [](const std::vector<Variable>& in) { return gelu(in[0]); };
  return {.name = "gelu",
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = 0.5 * v * (1.0 + std::erf(v / std::sqrt(2.0)));
            return y;
          }};
}

}  // namespace espalier
