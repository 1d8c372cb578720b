// SPDX-License-Identifier: Apache-2.0
// softplus: log(1 + e^a).  d/da = 1 / (1 + e^-a).
#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {
namespace {

template <class T>
T softplus_of(T x) {
  // max(x, 0) + log(1 + e^-|x|): the exponential can't overflow.
  return (x < 0 ? T{0} : x) + std::log1p(std::exp(-std::abs(x)));
}

}  // namespace

Variable softplus(const Variable& a) {
  Tensor out = detail::map(a.value(), "softplus", [](auto x) { return softplus_of(x); });
  return record("softplus", std::move(out), {a}, [a](const BackwardContext& ctx) {
    return std::vector<Variable>{detail::chain(
        ctx.grad,
        a,
        [](auto g, auto x) { return g / (1 + std::exp(-x)); },
        [&] { return mul(ctx.grad, sigmoid(a)); })};
  });
}

OpInfo softplus_op() {
  const auto run = [](const std::vector<Variable>& in) { return softplus(in[0]); };
  return {.name = "softplus",
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"scalar", {sample_tensor({}, 3, -2.0, 2.0)}, run},
                      {"empty", {sample_tensor({0, 3}, 4)}, run, {0}}},
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = std::log(1.0 + std::exp(v));
            return y;
          }};
}

}  // namespace espalier
