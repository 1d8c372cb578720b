// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

std::vector<float> dropped(const Shape& shape, Layout layout, double p, Rng& rng) {
  const Variable x(Tensor::ones(shape, DType::F32, layout));
  const Variable y = dropout(x, p, rng);
  EXPECT_EQ(y.layout(), layout);
  return y.value().to_vector<float>();
}

TEST(Dropout, BothLayoutsAndAllThreadCountsDropTheSameElements) {
  const Shape shape = {37, 5, 31};
  Rng rng(1, "dropout_test");
  const std::vector<float> expected = dropped(shape, Layout::Nchw, 0.4, rng);
  for (int threads : {1, 7}) {
    set_num_threads(threads);
    for (Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
      Rng same(1, "dropout_test");
      EXPECT_EQ(dropped(shape, layout, 0.4, same), expected);
    }
  }
  set_num_threads(0);
}

TEST(Dropout, AnElementDependsOnItsFlatIndexOnly) {
  Rng a(2, "dropout_test"), b(2, "dropout_test");
  const std::vector<float> small = dropped({10, 7}, Layout::Nchw, 0.5, a);
  std::vector<float> large = dropped({20, 10, 50}, Layout::Nchw16n, 0.5, b);
  large.resize(small.size());
  EXPECT_EQ(large, small);
}

TEST(Dropout, AdvancesTheGeneratorByTheSameAmountForAnySizeAndRate) {
  std::vector<uint64_t> positions;
  for (const auto& [n, p] :
       {std::pair<int64_t, double>{1, 0.5}, {1000, 0.1}, {0, 0.5}, {10, 0.0}, {10, 1.0}}) {
    Rng rng(3, "dropout_test");
    dropped({n}, Layout::Nchw, p, rng);
    positions.push_back(rng.state().position);
  }
  EXPECT_EQ(positions, std::vector<uint64_t>(positions.size(), positions[0]));
  EXPECT_GT(positions[0], 0u);
}

TEST(Dropout, TwoCallsDropDifferentElements) {
  Rng rng(4, "dropout_test");
  const std::vector<float> first = dropped({1000}, Layout::Nchw, 0.5, rng);
  EXPECT_NE(dropped({1000}, Layout::Nchw, 0.5, rng), first);
}

TEST(Dropout, DropsItsShareAndScalesTheRest) {
  constexpr int64_t kElements = 100000;
  constexpr double kRate = 0.3;
  Rng rng(5, "dropout_test");
  int64_t zeros = 0;
  for (float value : dropped({kElements}, Layout::Nchw, kRate, rng)) {
    if (value == 0.0f) {
      ++zeros;
    } else {
      ASSERT_EQ(value, static_cast<float>(1.0 / (1.0 - kRate)));
    }
  }
  // Six standard deviations of the binomial distribution.
  const double deviation = std::sqrt(kElements * kRate * (1.0 - kRate));
  EXPECT_NEAR(static_cast<double>(zeros), kElements * kRate, 6.0 * deviation);
}

TEST(Dropout, TheGradientPassesWhereTheValueDid) {
  Rng rng(6, "dropout_test");
  const Variable x(Tensor::ones({50}), true);
  const Variable y = dropout(x, 0.5, rng);
  sum(y).backward();
  EXPECT_EQ(x.grad().value().to_vector<float>(), y.value().to_vector<float>());
}

TEST(Dropout, KeepsEverythingAtZeroAndNothingAtOne) {
  Rng rng(7, "dropout_test");
  EXPECT_EQ(dropped({5}, Layout::Nchw, 0.0, rng), std::vector<float>(5, 1.0f));
  EXPECT_EQ(dropped({5}, Layout::Nchw, 1.0, rng), std::vector<float>(5, 0.0f));
}

TEST(Dropout, ARateThatIsNoProbabilityIsAnError) {
  Rng rng(8, "dropout_test");
  const Variable x(Tensor::ones({2}));
  for (double p : {-0.1, 1.1, std::nan("")}) EXPECT_THROW(dropout(x, p, rng), ValueError);
}

}  // namespace
}  // namespace espalier
