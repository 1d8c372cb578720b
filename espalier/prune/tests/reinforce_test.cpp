// SPDX-License-Identifier: Apache-2.0
/// Returns of decisions, and the gradient that rewards give.
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/prune/penalties/reinforce.h>

namespace espalier::prune {
namespace {

// SkipNet: three gates that skip, run and skip; alpha 0.1, cross-entropy 0.5.
TEST(Returns, AreWhatFollowsFromADecision) {
  const double each = 0.1 / 3.0;
  const Tensor rewards = Tensor::from<double>({1, 3}, {each, 0.0, each});
  const std::vector<double> returns =
      returns_of(rewards, Tensor::from<double>({1}, {-0.5})).to_vector<double>();
  EXPECT_NEAR(returns[0], -0.433333, 1e-6);
  EXPECT_NEAR(returns[1], -0.466667, 1e-6);
  EXPECT_NEAR(returns[2], -0.466667, 1e-6);
}

TEST(Returns, AreOfEachSample) {
  const Tensor rewards = Tensor::from<float>({2, 2}, {1, 2, 4, 8});
  const Tensor last = Tensor::from<float>({2}, {16, 32});
  EXPECT_EQ(returns_of(rewards, last).to_vector<double>(), (std::vector<double>{19, 18, 44, 40}));
  EXPECT_THROW(returns_of(rewards, rewards), ShapeError);
}

// Summed over all that may be drawn, weighted by its probability, the gradient is that of -E[R].
TEST(ReinforceLoss, HasTheGradientOfTheExpectedReturn) {
  const auto reward = [](double a, double b) { return 1.0 + 2.0 * a - 5.0 * a * b; };
  const std::vector<double> p = {0.3, 0.8};
  std::vector<double> gradient(2, 0.0);
  for (const double a : {0.0, 1.0}) {
    for (const double b : {0.0, 1.0}) {
      const Variable drawn_from(Tensor::from<double>({1, 2}, p), true);
      const double r = reward(a, b);
      reinforce_loss(
          drawn_from, Tensor::from<double>({1, 2}, {a, b}), Tensor::from<double>({1, 2}, {r, r}))
          .backward();
      const double chance = (a > 0 ? p[0] : 1 - p[0]) * (b > 0 ? p[1] : 1 - p[1]);
      const std::vector<double> one = drawn_from.grad().value().to_vector<double>();
      for (size_t i = 0; i < 2; ++i) gradient[i] += chance * one[i];
    }
  }
  // E[R] = 1 + 2 p_a - 5 p_a p_b.
  EXPECT_NEAR(gradient[0], -(2.0 - 5.0 * p[1]), 1e-12);
  EXPECT_NEAR(gradient[1], 5.0 * p[0], 1e-12);
}

TEST(ReinforceLoss, IsTheLogarithmOfWhatWasDrawn) {
  const Variable p(Tensor::from<double>({2, 1}, {0.25, 0.25}), true);
  const Variable loss = reinforce_loss(
      p, Tensor::from<double>({2, 1}, {1, 0}), Tensor::from<double>({2, 1}, {3, -2}));
  EXPECT_NEAR(loss.item(), -3 * std::log(0.25) + 2 * std::log(0.75), 1e-12);
  // Probabilities of 1 and 0 that did happen are no trouble.
  const Variable sure(Tensor::from<double>({2, 1}, {1, 0}), true);
  const Variable zero = reinforce_loss(
      sure, Tensor::from<double>({2, 1}, {1, 0}), Tensor::from<double>({2, 1}, {3, -2}));
  zero.backward();
  EXPECT_EQ(zero.item(), 0.0);
  EXPECT_EQ(sure.grad().value().to_vector<double>(), (std::vector<double>{-3, -2}));
  EXPECT_THROW(reinforce_loss(p, Tensor::ones({2, 2}), Tensor::ones({2, 1})), ShapeError);
}

}  // namespace
}  // namespace espalier::prune
