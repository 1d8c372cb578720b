// SPDX-License-Identifier: Apache-2.0
// gelu: a Phi(a), Phi = distribution function of the standard normal = erfc(-a / sqrt 2) / 2.
// d/da = Phi(a) + a phi(a), phi = its density.  Source: arXiv:1606.08415.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {
namespace {

constexpr double kInverseSqrt2Pi = 0.39894228040143267794;

/// Density of the standard normal distribution.
Variable normal_density(const Variable& a) {
  return mul(exp(mul(mul(a, a), -0.5)), kInverseSqrt2Pi);
}

/// Its distribution function, Phi; d/da = density.
Variable normal_cdf(const Variable& a) {
  Tensor out = detail::map(VectorFunction::NormalCdf, a.value(), "gelu");
  return record("normal_cdf", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    return std::vector<Variable>{mul(ctx.grad, normal_density(a))};
  });
}

}  // namespace

Variable gelu(const Variable& a) {
  Tensor out = detail::map(VectorFunction::Gelu, a.value(), "gelu");
  return record("gelu", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    if (is_recording()) {
      const Variable slope = add(normal_cdf(a), mul(a, normal_density(a)));
      return std::vector<Variable>{mul(ctx.grad, slope)};
    }
    return std::vector<Variable>{
        Variable(detail::map(VectorGradient::Gelu, ctx.grad.value(), a.value(), "backward"))};
  });
}

OpInfo gelu_op() {
  const auto run = [](const std::vector<Variable>& in) { return gelu(in[0]); };
  return {.name = "gelu",
          .rule = OpRule::ZeroToZero,
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
