// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

constexpr double kTolerance64 = 1e-12;

Variable leaf(const Shape& shape, const std::vector<double>& values, Layout layout = Layout::Nchw) {
  return Variable(Tensor::from(shape, values).to(layout), true);
}

void expect_values(const Variable& got, const std::vector<double>& expected) {
  const auto values = got.value().to_vector<double>();
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], kTolerance64) << i;
}

TEST(LayerNorm, OfAKnownRow) {
  // Mean 5 and variance 4.
  const Variable x = leaf({1, 8}, {2, 4, 4, 4, 5, 5, 7, 9});
  const Variable gamma(Tensor::full({8}, 2.0, DType::F64)),
      beta(Tensor::full({8}, 1.0, DType::F64));
  expect_values(layer_norm(x, gamma, beta, 0.0), {-2, 0, 0, 0, 1, 1, 3, 5});
}

TEST(GroupNorm, GroupsAreNormalizedApart) {
  // Groups (1, 3) and (2, 6): means 2 and 4, deviations 1 and 2.
  for (Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const Variable x = leaf({1, 4}, {1, 3, 2, 6}, layout);
    const Variable gamma = leaf({4}, {1, 2, 3, 4}), beta = leaf({4}, {0, 0, 10, 10});
    const Variable y = group_norm(x, 2, gamma, beta, 0.0);
    EXPECT_EQ(y.layout(), layout);
    expect_values(y, {-1, 2, 7, 14});
    sum(y).backward();
    expect_values(gamma.grad(), {-1, 1, -1, 1});
    expect_values(beta.grad(), {1, 1, 1, 1});
  }
}

TEST(GroupNorm, EpsilonKeepsAConstantGroupFinite) {
  const Variable x = leaf({1, 2}, {3, 3});
  const Variable one = leaf({2}, {1, 1}), zero = leaf({2}, {0, 0});
  expect_values(group_norm(x, 1, one, zero), {0, 0});
}

TEST(GroupNorm, AFarMeanDoesNotDrownTheVariance) {
  // 4096 and its neighbours are exact in float32, so the result is that of (-1, 0, 0, 1).
  const Variable x(Tensor::from<float>({1, 4}, {4095, 4096, 4096, 4097}));
  const Variable one(Tensor::ones({4})), zero(Tensor::zeros({4}));
  const auto y = layer_norm(x, one, zero, 0.0).value().to_vector<double>();
  EXPECT_NEAR(y[3], std::sqrt(2.0), 1e-6);
  EXPECT_NEAR(y[0], -std::sqrt(2.0), 1e-6);
}

TEST(GroupNorm, WrongArgumentsAreErrors) {
  const Variable x = leaf({1, 4}, {1, 2, 3, 4}), four = leaf({4}, {1, 1, 1, 1}),
                 two = leaf({2}, {1, 1});
  EXPECT_THROW(group_norm(x, 3, four, four), ShapeError);
  EXPECT_THROW(group_norm(x, 0, four, four), ShapeError);
  EXPECT_THROW(group_norm(x, 2, two, four), ShapeError);
  EXPECT_THROW(group_norm(two, 1, two, two), ShapeError);
  EXPECT_THROW(layer_norm(x, two, two), ShapeError);
  EXPECT_THROW(layer_norm(x, Variable(Tensor::ones({4})), four), TypeError);
}

}  // namespace
}  // namespace espalier
