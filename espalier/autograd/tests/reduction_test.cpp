// SPDX-License-Identifier: Apache-2.0
// Hand-worked reductions, and the order of summation on large tensors. The op suite has the rest.
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

using Values = std::vector<double>;
constexpr double kInf = std::numeric_limits<double>::infinity();

Variable matrix(int64_t rows, int64_t columns, const Values& values) {
  return Variable(Tensor::from({rows, columns}, values), true);
}
Values of(const Variable& v) {
  return v.value().to_vector<double>();
}
Values slope(const Variable& y, const Variable& x) {
  return of(grad({sum(y)}, {x})[0]);
}

TEST(Sum, AddsOverTheNamedDimensions) {
  const Variable a = matrix(2, 3, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(sum(a).item(), 21);
  EXPECT_EQ(sum(a).rank(), 0);
  EXPECT_EQ(of(sum(a, {0})), (Values{5, 7, 9}));
  EXPECT_EQ(of(sum(a, {-1})), (Values{6, 15}));
  EXPECT_EQ(sum(a, {-1}, true).shape(), (Shape{2, 1}));
  EXPECT_THROW(sum(a, {2}), ShapeError);
  EXPECT_THROW(sum(a, {0, -2}), ShapeError);
}

TEST(Sum, AddsFloat32InFloat64) {
  // In float32, 2^24 + 1 = 2^24: adding one by one would get stuck there.
  Tensor ones = Tensor::ones({(1 << 24) + 64});
  EXPECT_EQ(sum(Variable(ones)).item(), (1 << 24) + 64);
  Tensor mixed = Tensor::ones({4096});
  mixed.data<float>()[0] = 3e8F;
  mixed.data<float>()[4095] = -3e8F;
  EXPECT_EQ(sum(Variable(mixed)).item(), 4094);
}

TEST(Sum, HasTheSameBitsOnAnyNumberOfThreads) {
  const int before = num_threads();
  Tensor x = Tensor::empty({37, 5, 30, 31});
  Rng rng(3, "reduction test");
  fill_normal_(x, rng);
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const Variable a(x.to(layout));
    for (const std::vector<int>& dims :
         {std::vector<int>{}, {0}, {1}, {0, 2, 3}, {2, 3}, {3}, {0, 1}}) {
      set_num_threads(1);
      const Values one = of(sum(a, dims));
      for (int threads : {2, 7}) {
        set_num_threads(threads);
        EXPECT_EQ(of(sum(a, dims)), one) << threads << " threads";
      }
    }
  }
  set_num_threads(before);
}

// Integers: every order of summation gives the same number.
Tensor integers(const Shape& shape) {
  Tensor x = Tensor::empty(shape, DType::F64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    x.data<double>()[i] = static_cast<double>(i * 2654435761 % 1009) - 504;
  }
  return x;
}

// Sums over the dimensions that `kept` lacks, of a plain x of rank 4.
Values sums_by_index(const Tensor& x, const std::vector<int>& kept) {
  Values out;
  for (int64_t i = 0; i < x.numel(); ++i) {
    int64_t rest = i;
    int64_t index[4];
    for (int d = 3; d >= 0; --d) {
      index[d] = rest % x.size(d);
      rest /= x.size(d);
    }
    size_t at = 0;
    for (const int d : kept)
      at = at * static_cast<size_t>(x.size(d)) + static_cast<size_t>(index[d]);
    if (at >= out.size()) out.resize(at + 1, 0.0);
    out[at] += x.data<double>()[i];
  }
  return out;
}

// Rows of sixteen, short runs of more outputs than are summed at once, several chunks of the
// reduced range, one column, and odd sizes of all of these.
TEST(Sum, AgreesWithPlainLoopsOverEveryDimensionOfBothLayouts) {
  for (const Shape& shape : {Shape{37, 5, 30, 31},
                             Shape{33, 70, 3, 16},
                             Shape{16, 9, 2, 130},
                             Shape{160, 3, 40, 16},
                             Shape{5, 300, 7, 1}}) {
    const Tensor x = integers(shape);
    for (int choice = 0; choice < 15; ++choice) {
      std::vector<int> over, kept;
      for (int d = 0; d < 4; ++d) (choice >> d & 1 ? kept : over).push_back(d);
      const Values expected = sums_by_index(x, kept);
      for (const DType dtype : {DType::F64, DType::F32}) {
        for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
          const Variable y = sum(Variable(x.to(dtype).to(layout)), over);
          EXPECT_EQ(of(y), expected) << cat(shape) << ", kept " << choice << ", " << name(layout);
          const bool lanes = layout == Layout::Nchw16n && (choice & 1) != 0;
          EXPECT_EQ(y.layout(), lanes ? Layout::Nchw16n : Layout::Nchw);
        }
      }
    }
  }
}

TEST(SumTo, ReturnsItsArgumentWhenNothingWasBroadcast) {
  const Variable a = matrix(2, 3, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(sum_to(a, {2, 3}, Layout::Nchw).state(), a.state());
  EXPECT_THROW(sum_to(a, {2}, Layout::Nchw), ShapeError);
}

TEST(Mean, DividesByTheNumberOfElements) {
  const Variable a = matrix(2, 3, {1, 2, 3, 4, 5, 6});
  EXPECT_DOUBLE_EQ(mean(a).item(), 3.5);
  EXPECT_EQ(of(mean(a, {0})), (Values{2.5, 3.5, 4.5}));
  EXPECT_TRUE(std::isnan(mean(Variable(Tensor::zeros({0}))).item()));
}

TEST(Max, GivesTheGradientToTheFirstOfEquals) {
  const Variable a = matrix(2, 3, {1, 7, 7, -4, -5, -4});
  EXPECT_EQ(of(max(a, {1})), (Values{7, -4}));
  EXPECT_EQ(slope(max(a, {1}), a), (Values{0, 1, 0, 1, 0, 0}));
  EXPECT_EQ(of(max(a, {0}, true)), (Values{1, 7, 7}));
  EXPECT_EQ(slope(max(a), a), (Values{0, 1, 0, 0, 0, 0}));
}

TEST(Max, IgnoresPaddingLanes) {
  const Variable a(Tensor::full({17, 2}, -3).to(Layout::Nchw16n));
  EXPECT_EQ(max(a).item(), -3);
}

TEST(Max, ThrowsForNothingAndShowsNan) {
  EXPECT_THROW(max(Variable(Tensor::zeros({2, 0})), {1}), ValueError);
  EXPECT_TRUE(std::isnan(max(matrix(1, 3, {5, std::nan(""), 6})).item()));
}

TEST(Var, DividesByCountLessCorrection) {
  const Variable a = matrix(1, 4, {1, 2, 3, 6});  // mean 3, squares 4 + 1 + 0 + 9
  EXPECT_DOUBLE_EQ(var(a).item(), 14.0 / 3);
  EXPECT_DOUBLE_EQ(var(a, {}, 0).item(), 3.5);
  EXPECT_TRUE(std::isnan(var(matrix(1, 1, {5})).item()));
}

TEST(Norm, HasGradientZeroForAZeroVector) {
  const Variable a = matrix(2, 2, {3, 4, 0, 0});
  EXPECT_EQ(of(norm(a, 2, {1})), (Values{5, 0}));
  const Values by_two = slope(norm(a, 2, {1}), a);
  EXPECT_DOUBLE_EQ(by_two[0], 0.6);
  EXPECT_DOUBLE_EQ(by_two[1], 0.8);
  EXPECT_EQ(by_two[2], 0);
  EXPECT_EQ(by_two[3], 0);
  EXPECT_EQ(of(norm(a, 1, {1})), (Values{7, 0}));
  EXPECT_EQ(slope(norm(a, 1, {1}), a), (Values{1, 1, 0, 0}));
  EXPECT_NEAR(norm(a, 3).item(), std::cbrt(27.0 + 64.0), 1e-14);
  EXPECT_THROW(norm(a, 0.5), ValueError);
}

TEST(Logsumexp, DoesNotOverflow) {
  const Variable a = matrix(3, 2, {1000, 1000, -1000, -1000, -kInf, 0});
  const Values y = of(logsumexp(a, {1}));
  EXPECT_DOUBLE_EQ(y[0], 1000 + std::log(2.0));
  EXPECT_DOUBLE_EQ(y[1], -1000 + std::log(2.0));
  EXPECT_EQ(y[2], 0);
  EXPECT_EQ(slope(logsumexp(a, {1}), a)[5], 1);
}

}  // namespace
}  // namespace espalier
