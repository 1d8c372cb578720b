// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

const Layout kLayouts[] = {Layout::Nchw, Layout::Nchw16n};

Variable plane(int64_t h, int64_t w, const std::vector<double>& values, Layout layout) {
  return Variable(Tensor::from({1, 1, h, w}, values).to(layout), true);
}

std::vector<double> one_to(int n) {
  std::vector<double> values;
  for (int i = 1; i <= n; ++i) values.push_back(i);
  return values;
}

std::vector<double> values_of(const Variable& v) {
  return v.value().to_vector<double>();
}

TEST(MaxPool, WindowsReachIntoThePadding) {
  for (Layout layout : kLayouts) {
    const Variable x = plane(4, 4, one_to(16), layout);
    const Variable y = max_pool2d(x, {3, 2, 1});
    EXPECT_EQ(y.layout(), layout);
    EXPECT_EQ(values_of(y), (std::vector<double>{6, 8, 14, 16}));
    sum(y).backward();
    std::vector<double> winners(16, 0.0);
    for (size_t i : {5u, 7u, 13u, 15u}) winners[i] = 1.0;
    EXPECT_EQ(values_of(x.grad()), winners);
  }
}

TEST(MaxPool, PaddingNeverWins) {
  for (Layout layout : kLayouts) {
    const Variable y = max_pool2d(plane(2, 2, {-4, -3, -2, -1}, layout), {2, 2, 1});
    EXPECT_EQ(values_of(y), (std::vector<double>{-4, -3, -2, -1}));
  }
}

TEST(MaxPool, TheFirstOfEqualsGetsTheGradient) {
  for (Layout layout : kLayouts) {
    const Variable x = plane(2, 4, {1, 7, 0, 0, 7, 7, 0, 0}, layout);
    sum(max_pool2d(x)).backward();
    EXPECT_EQ(values_of(x.grad()), (std::vector<double>{0, 1, 1, 0, 0, 0, 0, 0}));
  }
}

TEST(MaxPool, OverlappingWindowsAddTheirGradients) {
  for (Layout layout : kLayouts) {
    const Variable x = plane(1, 3, {0, 5, 1}, layout);
    const Variable padded = pad(x, {{2, 1, 1}});
    sum(max_pool2d(padded, {2, 1, 0})).backward();
    // Four windows hold the 5 of the middle row.
    EXPECT_EQ(values_of(x.grad()), (std::vector<double>{0, 4, 0}));
  }
}

TEST(MaxPool, ANanIsNotHidden) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (Layout layout : kLayouts) {
    for (const auto& values : {std::vector<double>{nan, 1, 2, 3}, {1, 2, 3, nan}, {1, nan, 3, 2}}) {
      EXPECT_TRUE(std::isnan(max_pool2d(plane(2, 2, values, layout)).item()));
    }
  }
}

TEST(MaxPool, LanesPickTheirOwnWinners) {
  std::vector<double> values(17 * 4, 0.0);
  for (size_t n = 0; n < 17; ++n) values[n * 4 + n % 4] = 1.0;
  const Variable x(Tensor::from({17, 1, 2, 2}, values).to(DType::F32).to(Layout::Nchw16n), true);
  sum(max_pool2d(x)).backward();
  EXPECT_EQ(values_of(x.grad()), values);
}

TEST(AvgPool, PaddingCountsAsZeros) {
  for (Layout layout : kLayouts) {
    const Variable y = avg_pool2d(plane(4, 4, one_to(16), layout), {3, 2, 1});
    const std::vector<double> sums = {14, 30, 57, 99};
    for (size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(values_of(y)[i], sums[i] / 9.0);
  }
}

TEST(AvgPool, SpreadsTheGradientEvenly) {
  for (Layout layout : kLayouts) {
    const Variable x = plane(2, 4, one_to(8), layout);
    avg_pool2d(x).backward(Variable(Tensor::from<double>({1, 1, 1, 2}, {4, 8})));
    EXPECT_EQ(values_of(x.grad()), (std::vector<double>{1, 1, 2, 2, 1, 1, 2, 2}));
  }
}

TEST(AdaptiveAvgPool, WindowsOverlapWhenTheyDoNotDivide) {
  for (Layout layout : kLayouts) {
    const Variable y = adaptive_avg_pool2d(plane(1, 5, one_to(5), layout), 1, 2);
    EXPECT_EQ(values_of(y), (std::vector<double>{2, 4}));
  }
}

TEST(AdaptiveAvgPool, OneByOneIsTheMeanOfThePlane) {
  for (Layout layout : kLayouts) {
    EXPECT_EQ(values_of(adaptive_avg_pool2d(plane(2, 3, one_to(6), layout), 1, 1)),
              (std::vector<double>{3.5}));
  }
}

TEST(Pooling, AWindowOfPaddingAloneIsAnError) {
  // Taps at -1 and 5 of positions 0..4.
  const Variable x = plane(1, 5, one_to(5), Layout::Nchw);
  const PoolOptions options{.kernel = {1, 2}, .stride = 1, .padding = {0, 1}, .dilation = {1, 6}};
  try {
    max_pool2d(x, options);
    FAIL();
  } catch (const ShapeError& error) {
    EXPECT_NE(std::string(error.what()).find("steps over the whole plane"), std::string::npos)
        << error.what();
  }
}

TEST(Pooling, AWindowBehindThePaddingIsNoneInCeilMode) {
  // Windows begin at -1, 1, 3, 5; the last would begin behind the input and its padding (4).
  const Variable x = plane(1, 4, one_to(4), Layout::Nchw);
  const PoolOptions options{
      .kernel = {1, 2}, .stride = {1, 2}, .padding = {0, 1}, .ceil_mode = true};
  EXPECT_EQ(values_of(max_pool2d(x, options)), (std::vector<double>{1, 3, 4}));
  // The last holds 4 and one zero; without padding in the mean each divides by what it holds.
  EXPECT_EQ(values_of(avg_pool2d(x, options)), (std::vector<double>{0.5, 2.5, 2}));
  PoolOptions own = options;
  own.count_include_pad = false;
  EXPECT_EQ(values_of(avg_pool2d(x, own)), (std::vector<double>{1, 2.5, 4}));
}

TEST(Pooling, WrongArgumentsAreErrors) {
  const Variable x = plane(2, 2, one_to(4), Layout::Nchw);
  EXPECT_THROW(max_pool2d(x, {3, 1, 0}), ShapeError);
  EXPECT_THROW(max_pool2d(x, {2, 1, 2}), ValueError);
  EXPECT_THROW(max_pool2d(x, {0, 1, 0}), ValueError);
  EXPECT_THROW(max_pool2d(x, {.kernel = 1, .dilation = {1, 0}}), ValueError);
  EXPECT_THROW(max_pool2d(x, {.kernel = {1, 2}, .padding = {0, 2}}), ValueError);
  EXPECT_THROW(avg_pool2d(x, {.kernel = 1, .dilation = 2}), ValueError);
  EXPECT_THROW(avg_pool2d(flatten(x)), ShapeError);
  EXPECT_THROW(adaptive_avg_pool2d(x, 0, 1), ValueError);
}

}  // namespace
}  // namespace espalier
