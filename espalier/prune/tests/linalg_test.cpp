// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/core/kernels/gemm.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>
#include <espalier/prune/curvature/linalg/cholesky.h>

namespace espalier::prune {
namespace {

constexpr double kExact = 1e-12;
constexpr double kRelative = 1e-9;

/// X Xᵀ of random numbers, and a little on the diagonal.
Tensor positive(int64_t n, uint64_t seed) {
  Rng rng(seed, "test matrix");
  Tensor x = Tensor::empty({n, n + 5}, DType::F64);
  fill_normal_(x, rng, 0.0, 1.0);
  Tensor a = Tensor::empty({n, n}, DType::F64);
  gemm(x, x.transpose(0, 1), a);
  for (int64_t i = 0; i < n; ++i) a.data<double>()[i * n + i] += 0.1 * static_cast<double>(n);
  return a;
}

Tensor product(const Tensor& a, const Tensor& b) {
  Tensor out = Tensor::empty({a.size(0), b.size(1)}, DType::F64);
  gemm(a, b, out);
  return out;
}

void expect_near(const Tensor& a, const Tensor& b, double tolerance) {
  const auto x = a.to_vector<double>();
  const auto y = b.to_vector<double>();
  ASSERT_EQ(x.size(), y.size());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], tolerance) << i;
}

Tensor identity(int64_t n) {
  Tensor one = Tensor::zeros({n, n}, DType::F64);
  for (int64_t i = 0; i < n; ++i) one.data<double>()[i * n + i] = 1.0;
  return one;
}

TEST(Cholesky, FactorsAHandWorkedMatrix) {
  const Tensor l = cholesky(Tensor::from<double>({2, 2}, {4, 2, 2, 3}));
  expect_near(l, Tensor::from<double>({2, 2}, {2, 0, 1, std::sqrt(2.0)}), kExact);
}

TEST(Cholesky, InverseFactorIsTheUpperOneOfTheInverse) {
  // The inverse is ((.375, -.25), (-.25, .5)). A lower factor, or one of the matrix, differs.
  const Tensor u = inverse_cholesky(Tensor::from<double>({2, 2}, {4, 2, 2, 3}));
  expect_near(
      u,
      Tensor::from<double>({2, 2}, {0.612372435695794, -0.408248290463863, 0, 0.577350269189626}),
      kExact);
}

TEST(Cholesky, LargeMatricesAreFactoredBlockByBlock) {
  for (int64_t n : {1, 63, 64, 65, 150, 201}) {
    const Tensor a = positive(n, 3);
    const Tensor l = cholesky(a);
    expect_near(product(l, l.transpose(0, 1)), a, kRelative * static_cast<double>(n));
    const Tensor u = inverse_cholesky(a);
    expect_near(product(a, product(u.transpose(0, 1), u)), identity(n), kRelative);
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_GT(u.at({i, i}), 0.0);
      for (int64_t j = 0; j < i; ++j) ASSERT_EQ(u.at({i, j}), 0.0);
    }
  }
}

TEST(Cholesky, SolvesForSeveralRightSides) {
  const Tensor a = positive(130, 4);
  Rng rng(5, "test right side");
  Tensor x = Tensor::empty({130, 70}, DType::F64);
  fill_normal_(x, rng, 0.0, 1.0);
  expect_near(solve_positive(a, product(a, x)), x, kRelative);
}

TEST(Cholesky, ReadsTheLowerTriangleOnly) {
  Tensor a = positive(70, 6);
  const Tensor l = cholesky(a);
  const Tensor u = inverse_cholesky(a);
  for (int64_t i = 0; i < 70; ++i) {
    for (int64_t j = i + 1; j < 70; ++j) a.data<double>()[i * 70 + j] = 1e300;
  }
  expect_near(cholesky(a), l, 0.0);
  expect_near(inverse_cholesky(a), u, 0.0);
}

TEST(Cholesky, NamesThePivotOfAMatrixThatIsNotPositive) {
  try {
    cholesky(Tensor::from<double>({2, 2}, {1, 2, 2, 1}));
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("pivot 1"), std::string::npos) << error.what();
  }
  EXPECT_THROW(cholesky(Tensor::zeros({2, 3}, DType::F64)), ShapeError);
  EXPECT_THROW(cholesky(Tensor::ones({1, 1})), TypeError);
  EXPECT_THROW(solve_positive(identity(2), Tensor::zeros({3, 1}, DType::F64)), ShapeError);
}

TEST(Cholesky, HasTheSameBitsOnAnyNumberOfThreads) {
  const Tensor a = positive(190, 7);
  set_num_threads(1);
  const Tensor one = inverse_cholesky(a);
  set_num_threads(2);
  const Tensor two = inverse_cholesky(a);
  set_num_threads(0);
  EXPECT_EQ(one.to_vector<double>(), two.to_vector<double>());
}

TEST(Cholesky, SolvesWhatIsOpenNearAGivenPoint) {
  // Only x0 + x1 = 3 is asked for: from (0, 1) both go up by 1. Of nothing, nothing moves.
  const Tensor open = Tensor::from<double>({2, 2}, {1, 1, 1, 1});
  const Tensor near = Tensor::from<double>({2, 1}, {0, 1});
  constexpr double kPull = 1e-5;
  expect_near(solve_near(open, Tensor::from<double>({2, 1}, {3, 3}), near),
              Tensor::from<double>({2, 1}, {1, 2}),
              kPull);
  const Tensor zero = Tensor::zeros({2, 2}, DType::F64);
  expect_near(solve_near(zero, Tensor::zeros({2, 1}, DType::F64), near), near, kExact);
}

}  // namespace
}  // namespace espalier::prune
