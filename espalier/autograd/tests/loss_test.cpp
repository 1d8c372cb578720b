// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

constexpr double kTolerance64 = 1e-12;

Variable leaf(const Shape& shape, const std::vector<double>& values) {
  return Variable(Tensor::from(shape, values), true);
}

Tensor labels(const std::vector<int64_t>& values) {
  return Tensor::from({static_cast<int64_t>(values.size())}, values);
}

void expect_values(const Tensor& got, const std::vector<double>& expected) {
  const auto values = got.to_vector<double>();
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], kTolerance64) << i;
}

/// What `f` says when it throws Kind.
template <class Kind, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Kind& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// Logits whose softmax is (1/8, 2/8, 5/8).
Variable eighths() {
  return leaf({1, 3}, {0.0, std::log(2.0), std::log(5.0)});
}

TEST(Softmax, OfLogarithmsIsTheirShare) {
  expect_values(softmax(eighths(), 1).value(), {0.125, 0.25, 0.625});
  expect_values(log_softmax(eighths(), 1).value(),
                {std::log(0.125), std::log(0.25), std::log(0.625)});
}

TEST(Softmax, HugeNumbersDoNotOverflow) {
  const Variable x = leaf({2, 2}, {1e4, 0.0, -1e4, -1e4});
  expect_values(softmax(x, 1).value(), {1.0, 0.0, 0.5, 0.5});
  expect_values(log_softmax(x, 1).value(), {0.0, -1e4, -std::log(2.0), -std::log(2.0)});
}

TEST(CrossEntropy, IsTheLogarithmOfTheTargetsShare) {
  const Variable x = eighths();
  const Variable loss = cross_entropy(x, labels({2}));
  expect_values(loss.value(), {std::log(8.0 / 5.0)});
  loss.backward();
  expect_values(x.grad().value(), {0.125, 0.25, -0.375});
}

TEST(CrossEntropy, SmoothingSpreadsTheTargetEvenly) {
  // s = 0.3 over three classes: q = (0.1, 0.1, 0.8).
  const Variable x = eighths();
  const Variable loss = cross_entropy(x, labels({2}), 0.3);
  const double expected = -(0.1 * std::log(0.125) + 0.1 * std::log(0.25) + 0.8 * std::log(0.625));
  expect_values(loss.value(), {expected});
  loss.backward();
  expect_values(x.grad().value(), {0.025, 0.15, -0.175});
}

TEST(CrossEntropy, IsNllOfLogSoftmaxInBothLayouts) {
  std::vector<double> values;
  for (int i = 0; i < 17 * 4; ++i) values.push_back(std::sin(i * 1.7) * 3.0);
  std::vector<int64_t> target;
  for (int i = 0; i < 17; ++i) target.push_back(i * 7 % 4);
  for (Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    for (Reduction reduction : {Reduction::Mean, Reduction::Sum, Reduction::None}) {
      const Variable a(Tensor::from({17, 4}, values).to(layout), true);
      const Variable b(Tensor::from({17, 4}, values).to(layout), true);
      const Variable fused = cross_entropy(a, labels(target), 0.0, reduction);
      const Variable parts = nll_loss(log_softmax(b, 1), labels(target), reduction);
      expect_values(fused.value(), parts.value().to_vector<double>());
      sum(fused).backward();
      sum(parts).backward();
      expect_values(a.grad().value(), b.grad().value().to_vector<double>());
      EXPECT_EQ(a.grad().layout(), layout);
    }
  }
}

TEST(CrossEntropy, AConfidentMistakeCostsItsMargin) {
  expect_values(cross_entropy(leaf({2, 2}, {1e3, 0.0, 0.0, 1e3}), labels({1, 1})).value(), {500.0});
}

TEST(CrossEntropy, ALabelOutOfRangeIsNamed) {
  const Variable x = leaf({3, 2}, {0, 0, 0, 0, 0, 0});
  for (int64_t bad : {int64_t{2}, int64_t{-1}}) {
    const auto expect_named = [&](const std::string& text) {
      EXPECT_NE(text.find(cat("target[1] is ", bad)), std::string::npos) << text;
    };
    expect_named(message_of<ValueError>([&] { cross_entropy(x, labels({0, bad, 1})); }));
    expect_named(message_of<ValueError>([&] { nll_loss(x, labels({0, bad, 1})); }));
  }
}

TEST(CrossEntropy, WrongArgumentsAreErrors) {
  const Variable x = leaf({2, 2}, {0, 0, 0, 0});
  EXPECT_THROW(cross_entropy(x, labels({0})), ShapeError);
  EXPECT_THROW(cross_entropy(x, Tensor::zeros({2}, DType::F64)), TypeError);
  EXPECT_THROW(cross_entropy(x, labels({0, 1}), 1.5), ValueError);
  EXPECT_THROW(cross_entropy(leaf({2}, {0, 0}), labels({0, 1})), ShapeError);
}

TEST(CrossEntropy, WrongClassWeightsAndLabelsAreNamed) {
  const Variable x = leaf({2, 2}, {0, 0, 0, 0});
  const auto with = [&](const Tensor& weights) {
    cross_entropy(x, labels({0, 1}), {.class_weights = weights});
  };
  EXPECT_THROW(with(Tensor::ones({3}, DType::F64)), ShapeError);
  EXPECT_THROW(with(Tensor::ones({2}, DType::I64)), TypeError);
  const std::string negative = message_of<ValueError>([&] {
    with(Tensor::from<double>({2}, {1.0, -0.5}));
  });
  EXPECT_NE(negative.find("class 1 is -0.5"), std::string::npos) << negative;
  // Only the label that is named is left out.
  const std::string label = message_of<ValueError>([&] {
    nll_loss(x, labels({-100, -1}), {.ignore_index = -100});
  });
  EXPECT_NE(label.find("target[1] is -1"), std::string::npos) << label;
  EXPECT_NE(label.find("the ignored -100"), std::string::npos) << label;
}

TEST(NllLoss, PicksTheTargetsLogProbability) {
  const Variable x = leaf({2, 2}, {-1.0, -2.0, -3.0, -4.0});
  const Variable loss = nll_loss(x, labels({1, 0}));
  expect_values(loss.value(), {2.5});
  loss.backward();
  expect_values(x.grad().value(), {0.0, -0.5, -0.5, 0.0});
}

TEST(MseLoss, IsTheMeanSquare) {
  const Variable a = leaf({2}, {1.0, 2.0}), b = leaf({2}, {3.0, 5.0});
  const Variable loss = mse_loss(a, b);
  expect_values(loss.value(), {6.5});
  expect_values(mse_loss(a, b, Reduction::Sum).value(), {13.0});
  expect_values(mse_loss(a, b, Reduction::None).value(), {4.0, 9.0});
  loss.backward();
  expect_values(a.grad().value(), {-2.0, -3.0});
  expect_values(b.grad().value(), {2.0, 3.0});
  EXPECT_THROW(mse_loss(a, leaf({1, 2}, {0, 0})), ShapeError);
}

TEST(KlDivergence, CertaintyAgainstACoinIsLogTwo) {
  const Variable log_q = leaf({1, 2}, {std::log(0.5), std::log(0.5)});
  const Variable p = leaf({1, 2}, {0.0, 1.0});
  const Variable loss = kl_divergence(log_q, p);
  expect_values(loss.value(), {std::log(2.0)});
  loss.backward();
  expect_values(log_q.grad().value(), {0.0, -1.0});
  for (double g : p.grad().value().to_vector<double>()) EXPECT_TRUE(std::isfinite(g));
}

TEST(KlDivergence, OfADistributionFromItselfIsZero) {
  const Variable p = leaf({2, 2}, {0.25, 0.75, 0.5, 0.5});
  expect_values(kl_divergence(log(p), p).value(), {0.0});
}

TEST(BceWithLogits, KnowsItsExactValues) {
  const auto bce = [](double x, double t) {
    return bce_with_logits(leaf({1}, {x}), leaf({1}, {t})).item();
  };
  EXPECT_NEAR(bce(0.0, 0.3), std::log(2.0), kTolerance64);
  EXPECT_NEAR(bce(std::log(3.0), 1.0), std::log(4.0 / 3.0), kTolerance64);
  EXPECT_NEAR(bce(std::log(3.0), 0.0), std::log(4.0), kTolerance64);
  EXPECT_EQ(bce(1e4, 0.0), 1e4);
  EXPECT_EQ(bce(1e4, 1.0), 0.0);
  EXPECT_EQ(bce(-1e4, 1.0), 1e4);
}

TEST(BceWithLogits, SmallLossesKeepTheirDigits) {
  const Variable x(Tensor::from<float>({1}, {20.0f})), t(Tensor::from<float>({1}, {1.0f}));
  EXPECT_NEAR(bce_with_logits(x, t).item() / std::exp(-20.0), 1.0, 1e-5);
}

}  // namespace
}  // namespace espalier
