// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

constexpr double kFloatTol = 1e-6;
constexpr double kTol64 = 1e-12;

RunningStats fresh(int64_t channels) {
  return {Tensor::zeros({channels}), Tensor::ones({channels})};
}

TEST(BatchNorm, HandWorkedBatchOfTwo) {
  // One channel with values 1 and 3: mean 2, variance 1; gamma 2, beta 0.5.
  const Variable x(Tensor::from<double>({2, 1}, {1, 3}));
  const Variable gamma(Tensor::from<double>({1}, {2}));
  const Variable beta(Tensor::from<double>({1}, {0.5}));
  const Variable y = batch_norm(x, gamma, beta, nullptr, {.eps = 0.0});
  EXPECT_NEAR(y.value().at({0, 0}), -1.5, kTol64);
  EXPECT_NEAR(y.value().at({1, 0}), 2.5, kTol64);
  const Variable cut = batch_norm(x, gamma, beta, nullptr, {.eps = 0.0, .relu = true});
  EXPECT_EQ(cut.value().at({0, 0}), 0.0);
  EXPECT_NEAR(cut.value().at({1, 0}), 2.5, kTol64);
}

TEST(BatchNorm, RunningVarianceCountsOneLess) {
  const Variable x(Tensor::from<float>({2, 1}, {1, 3}));
  RunningStats running = fresh(1);
  batch_norm(
      x, Variable(Tensor::ones({1})), Variable(Tensor::zeros({1})), &running, {.momentum = 0.25});
  EXPECT_NEAR(running.mean.item(), 0.25 * 2.0, kFloatTol);
  EXPECT_NEAR(
      running.var.item(), 0.75 * 1.0 + 0.25 * 2.0, kFloatTol);  // 2 = ((1-2)^2+(3-2)^2)/(2-1)
}

TEST(BatchNorm, EvaluationUsesAndKeepsRunningStatistics) {
  const Variable x(Tensor::from<float>({2, 1}, {1, 3}));
  RunningStats running{Tensor::full({1}, 1.0), Tensor::full({1}, 4.0)};
  const Variable y = batch_norm(x,
                                Variable(Tensor::full({1}, 3.0)),
                                Variable(Tensor::zeros({1})),
                                &running,
                                {.training = false, .eps = 0.0});
  EXPECT_NEAR(y.value().at({0, 0}), 0.0, kFloatTol);
  EXPECT_NEAR(y.value().at({1, 0}), 3.0, kFloatTol);
  EXPECT_EQ(running.mean.item(), 1.0);
  EXPECT_EQ(running.var.item(), 4.0);
}

TEST(BatchNorm, FusedReluEqualsReluOfBatchNorm) {
  const Variable x(sample_tensor({17, 3, 4, 5}, 1).to(Layout::Nchw16n), true);
  const Variable gamma(sample_tensor({3}, 2, 0.5, 1.5), true);
  const Variable beta(sample_tensor({3}, 3), true);
  const Variable weighting(sample_tensor({17, 3, 4, 5}, 4).to(Layout::Nchw16n));
  const auto gradients = [&](const Variable& y) {
    return grad({sum(mul(y, weighting), {}, false)}, {x, gamma, beta});
  };
  const Variable fused = batch_norm(x, gamma, beta, nullptr, {.relu = true});
  const Variable two_ops = relu(batch_norm(x, gamma, beta, nullptr));
  EXPECT_EQ(fused.value().to_vector<double>(), two_ops.value().to_vector<double>());
  const auto a = gradients(fused);
  const auto b = gradients(two_ops);
  for (size_t i = 0; i < 3; ++i) {
    const auto va = a[i].value().to_vector<double>();
    const auto vb = b[i].value().to_vector<double>();
    for (size_t j = 0; j < va.size(); ++j) EXPECT_NEAR(va[j], vb[j], kTol64);
  }
}

TEST(BatchNorm, FusedResidualEqualsTheThreeOps) {
  for (const bool relu_too : {false, true}) {
    const Variable x(sample_tensor({17, 3, 4, 5}, 1).to(Layout::Nchw16n), true);
    const Variable gamma(sample_tensor({3}, 2, 0.5, 1.5), true);
    const Variable beta(sample_tensor({3}, 3), true);
    const Variable residual(sample_tensor({17, 3, 4, 5}, 5).to(Layout::Nchw16n), true);
    const Variable weighting(sample_tensor({17, 3, 4, 5}, 4).to(Layout::Nchw16n));
    const auto gradients = [&](const Variable& y) {
      return grad({sum(mul(y, weighting), {}, false)}, {x, gamma, beta, residual});
    };
    const Variable fused = batch_norm(x, gamma, beta, nullptr, {.relu = relu_too}, residual);
    const Variable added = batch_norm(x, gamma, beta, nullptr) + residual;
    const Variable apart = relu_too ? relu(added) : added;
    EXPECT_EQ(fused.value().to_vector<double>(), apart.value().to_vector<double>());
    const auto a = gradients(fused);
    const auto b = gradients(apart);
    for (size_t i = 0; i < 4; ++i) {
      const auto va = a[i].value().to_vector<double>();
      const auto vb = b[i].value().to_vector<double>();
      for (size_t j = 0; j < va.size(); ++j) EXPECT_NEAR(va[j], vb[j], kTol64);
    }
  }
}

TEST(BatchNorm, RefusesAResidualOfAnotherShape) {
  const Variable x(Tensor::ones({2, 3, 2, 2}));
  const Variable channels(Tensor::ones({3}));
  const Variable other(Tensor::ones({2, 3, 2, 1}));
  EXPECT_THROW(batch_norm(x, channels, channels, nullptr, {}, other), ShapeError);
}

TEST(BatchNorm, RefusesWhatHasNoVariance) {
  const Variable one(Tensor::ones({1, 3}));
  const Variable channels(Tensor::ones({3}));
  EXPECT_THROW(batch_norm(one, channels, channels, nullptr), ValueError);
  EXPECT_THROW(batch_norm(one, channels, channels, nullptr, {.training = false}), ValueError);
  const Variable two(Tensor::ones({2, 3}));
  EXPECT_THROW(batch_norm(two, Variable(Tensor::ones({2})), channels, nullptr), ShapeError);
  EXPECT_THROW(batch_norm(Variable(Tensor::ones({3})), channels, channels, nullptr), ShapeError);
}

}  // namespace
}  // namespace espalier
