// SPDX-License-Identifier: Apache-2.0
// Values and gradients where ops have kinks, zeros and infinities, against PyTorch's
// (oracles/kinks.py wrote oracles/kinks.inc), and second derivatives there by hand.
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

using Values = std::vector<double>;
using Function = std::function<Variable(const std::vector<Variable>&)>;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
// A few roundings of float64.
constexpr double kTolerance = 1e-14;

struct Kink {
  std::string name;
  std::vector<Values> inputs;
  double incoming;
  Values value;
  std::vector<Values> gradients;
};

const std::vector<Kink>& kinks() {
  static const std::vector<Kink> list = {
#include "oracles/kinks.inc"
  };
  return list;
}

Variable leaf(const Values& values) {
  return Variable(Tensor::from({static_cast<int64_t>(values.size())}, values), true);
}
Values of(const Variable& v) {
  return v.value().to_vector<double>();
}

Function batch_norm_of_columns(bool fused_relu) {
  return [=](const std::vector<Variable>& in) {
    RunningStats running{Tensor::from<double>({2}, {1, 2}), Tensor::from<double>({2}, {4, 1})};
    const Variable y = batch_norm(
        reshape(in[0], {3, 2}), in[1], in[2], &running, {.training = false, .relu = fused_relu});
    return reshape(y, {6});
  };
}

Function bce(const Values& target) {
  return [=](const std::vector<Variable>& in) {
    return bce_with_logits(in[0], leaf(target).detach());
  };
}

// sum of y times 1, 2, 4.
Variable weighted(const Variable& y) {
  return sum(y * leaf({1, 2, 4}).detach());
}

std::map<std::string, Function> functions() {
  using In = const std::vector<Variable>&;
  std::map<std::string, Function> all = {
      {"abs", [](In in) { return abs(in[0]); }},
      {"sign", [](In in) { return sign(in[0]); }},
      {"relu", [](In in) { return relu(in[0]); }},
      {"clamp", [](In in) { return clamp(in[0], -0.5, 1.0); }},
      {"sqrt", [](In in) { return sqrt(in[0]); }},
      {"exp", [](In in) { return exp(in[0]); }},
      {"log", [](In in) { return log(in[0]); }},
      {"sigmoid", [](In in) { return sigmoid(in[0]); }},
      {"tanh", [](In in) { return tanh(in[0]); }},
      {"gelu", [](In in) { return gelu(in[0]); }},
      {"softplus", [](In in) { return softplus(in[0]); }},
      {"silu", [](In in) { return silu(in[0]); }},
      {"leaky_relu", [](In in) { return leaky_relu(in[0], 0.1); }},
      {"leaky_relu falling", [](In in) { return leaky_relu(in[0], -0.5); }},
      {"pow", [](In in) { return pow(in[0], in[1]); }},
      {"maximum", [](In in) { return maximum(in[0], in[1]); }},
      {"minimum", [](In in) { return minimum(in[0], in[1]); }},
      {"div", [](In in) { return in[0] / in[1]; }},
      {"mul", [](In in) { return in[0] * in[1]; }},
      {"softmax", [](In in) { return weighted(softmax(in[0], 0)); }},
      {"log_softmax", [](In in) { return weighted(log_softmax(in[0], 0)); }},
      {"logsumexp", [](In in) { return logsumexp(in[0], {0}); }},
      {"cross_entropy",
       [](In in) {
         return cross_entropy(reshape(in[0], {1, 3}), Tensor::from<int64_t>({1}, {0}));
       }},
      {"max", [](In in) { return max(in[0]); }},
      {"bce 0", bce({0, 1})},
      {"where",
       [](In in) {
         return where(Tensor::from<uint8_t>({3}, {1, 0, 1}), in[0], in[1]);
       }},
      {"batch_norm", batch_norm_of_columns(false)},
      {"batch_norm relu", batch_norm_of_columns(true)}};
  for (const double p : {0.0, 1.0, 2.0, 3.0, 0.5, -1.0, 1.5, -2.0}) {
    all[cat("pow ", p)] = [p](In in) { return pow(in[0], p); };
  }
  for (const double p : {1.0, 1.5, 2.0, 2.5, 3.0}) {
    all[cat("norm ", p)] = [p](In in) { return norm(in[0], p); };
  }
  return all;
}

void expect_same(const Values& actual, const Values& expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(actual[i])) << what << ", element " << i << ": " << actual[i];
    } else if (std::isinf(expected[i])) {
      EXPECT_EQ(actual[i], expected[i]) << what << ", element " << i;
    } else {
      EXPECT_NEAR(actual[i], expected[i], kTolerance * (1.0 + std::abs(expected[i])))
          << what << ", element " << i;
    }
  }
}

std::string described(const Kink& kink) {
  std::string text = kink.name + " of";
  for (const Values& input : kink.inputs) {
    for (const double v : input) text += cat(" ", v);
    text += ";";
  }
  return text;
}

TEST(Kinks, HavePyTorchsValuesAndGradients) {
  const std::map<std::string, Function> all = functions();
  for (const Kink& kink : kinks()) {
    const std::string what = described(kink);
    const auto found = all.find(kink.name);
    ASSERT_NE(found, all.end()) << what;
    std::vector<Variable> leaves;
    for (const Values& input : kink.inputs) leaves.push_back(leaf(input));
    const Variable y = found->second(leaves);
    expect_same(of(y), kink.value, "value of " + what);
    const Variable incoming(Tensor::full_like(y.value(), kink.incoming));
    const std::vector<Variable> gradients = grad({y}, leaves, {.grad_outputs = {incoming}});
    for (size_t i = 0; i < leaves.size(); ++i) {
      expect_same(of(gradients[i]), kink.gradients[i], cat("gradient ", i, " of ", what));
    }
  }
}

// The gradient that is recorded for second derivatives is the same one.
TEST(Kinks, HaveTheSameGradientWhenItIsRecorded) {
  const std::map<std::string, Function> all = functions();
  for (const Kink& kink : kinks()) {
    // By ops a closed gate multiplies an infinite x by 0; PyTorch's own has NaN there, too.
    if (kink.name == "batch_norm relu") continue;
    const std::string what = described(kink);
    std::vector<Variable> leaves;
    for (const Values& input : kink.inputs) leaves.push_back(leaf(input));
    const Variable y = all.at(kink.name)(leaves);
    const Variable incoming(Tensor::full_like(y.value(), kink.incoming));
    const std::vector<Variable> gradients =
        grad({y}, leaves, {.create_graph = true, .grad_outputs = {incoming}});
    for (size_t i = 0; i < leaves.size(); ++i) {
      expect_same(of(gradients[i]), kink.gradients[i], cat("gradient ", i, " of ", what));
    }
  }
}

// The second derivative of y by x, summed.
Values curvature(const Variable& y, const Variable& x) {
  const Variable slope = grad({sum(y)}, {x}, {.create_graph = true})[0];
  const Variable second = grad({sum(slope)}, {x}, {.allow_unused = true})[0];
  return second.defined() ? of(second) : Values(static_cast<size_t>(x.numel()), 0.0);
}

TEST(Kinks, HaveFiniteSecondDerivativesWhereTheFirstWasChosen) {
  const Variable zeros = leaf({0, 0});
  EXPECT_EQ(curvature(norm(zeros, 1.5), zeros), (Values{0, 0}));
  EXPECT_EQ(curvature(norm(zeros, 2.0), zeros), (Values{0, 0}));
  EXPECT_EQ(curvature(norm(zeros, 2.5), zeros), (Values{0, 0}));
  const Variable x = leaf({-1, 0, 2});
  EXPECT_EQ(curvature(leaky_relu(x, 0.1), x), (Values{0, 0, 0}));
  EXPECT_EQ(curvature(sign(x), x), (Values{0, 0, 0}));
  EXPECT_EQ(curvature(pow(x, 0.0), x), (Values{0, 0, 0}));
  const Variable base = leaf({0, 0, 2});
  const Variable exponent = leaf({0, 2, 3});
  EXPECT_EQ(curvature(pow(base, exponent.detach()), base), (Values{0, 2, 12}));
}

// PyTorch's formula says NaN for the value here.
TEST(BceWithLogits, IsInfiniteForACertainMistake) {
  const Variable x = leaf({-kInf, kInf});
  const Variable wrong = bce({1, 0})({x});
  EXPECT_EQ(wrong.item(), kInf);
  EXPECT_EQ(of(grad({wrong}, {x})[0]), (Values{-0.5, 0.5}));
}

TEST(KlDivergence, IsZeroWhereTheTargetIsZeroEvenIfTheLogarithmIsInfinite) {
  const Variable log_q(Tensor::from<double>({1, 2}, {-kInf, -2.0}), true);
  const Variable p(Tensor::from<double>({1, 2}, {0.0, 1.0}), true);
  const Variable loss = kl_divergence(log_q, p);
  EXPECT_EQ(loss.item(), 2.0);
  EXPECT_EQ(of(grad({loss}, {log_q})[0]), (Values{0, -1}));
}

}  // namespace
}  // namespace espalier
