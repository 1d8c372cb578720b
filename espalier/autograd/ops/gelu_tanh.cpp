// SPDX-License-Identifier: Apache-2.0
// gelu_tanh: a/2 (1 + tanh(u)) = a s, s = 1 / (1 + e^-2u), u = k (a + c a^3), k = sqrt(2/pi),
// c = 0.044715.  d/da = s + a s (1 - s) 2k (1 + 3 c a^2).  Source: arXiv:1606.08415, section 2.
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {
namespace {

constexpr double kTwiceRoot = 2 * 0.79788456080286535588;  // 2k
constexpr double kCubic = 0.044715;

/// The gradient in differentiable ops.
Variable recorded_gradient(const Variable& grad, const Variable& a) {
  const Variable square = a * a;
  const Variable s = sigmoid(a * (square * (kTwiceRoot * kCubic) + kTwiceRoot));
  const Variable inner = square * (3 * kTwiceRoot * kCubic) + kTwiceRoot;
  return grad * (s + a * (s * (1.0 - s)) * inner);
}

}  // namespace

Variable gelu_tanh(const Variable& a) {
  Tensor out = detail::map(VectorFunction::GeluTanh, a.value(), "gelu_tanh");
  return record("gelu_tanh", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    if (is_recording()) return std::vector<Variable>{recorded_gradient(ctx.grad, a)};
    return std::vector<Variable>{
        Variable(detail::map(VectorGradient::GeluTanh, ctx.grad.value(), a.value(), "backward"))};
  });
}

OpInfo gelu_tanh_op() {
  const auto run = [](const std::vector<Variable>& in) { return gelu_tanh(in[0]); };
  return {.name = "gelu_tanh",
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) {
              const double u = std::sqrt(2.0 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
              v = 0.5 * v * (1.0 + std::tanh(u));
            }
            return y;
          }};
}

}  // namespace espalier
