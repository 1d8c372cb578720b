// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/core/kernels/gemm.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

constexpr double kTolerance32 = 2e-5;  // sums of up to 40 products of numbers in [-1, 1)
constexpr double kTolerance64 = 1e-13;

Tensor random_tensor(const Shape& shape, DType dtype, uint64_t seed) {
  Tensor t = Tensor::empty(shape, dtype);
  Rng rng(seed, "gemm_test");
  fill_uniform_(t, rng, -1.0, 1.0);
  return t;
}

/// The largest error of gemm(a, b) against three plain loops.
double error_of(const Tensor& a, const Tensor& b) {
  const int rank = a.rank();
  const int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1);
  Tensor out = Tensor::empty(a.shape().with(rank - 1, n), a.dtype());
  gemm(a, b, out);
  const auto va = a.to_vector<double>(), vb = b.to_vector<double>(), vo = out.to_vector<double>();
  double worst = 0.0;
  for (int64_t batch = 0; batch < out.numel() / (m * n); ++batch) {
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0.0;
        for (int64_t p = 0; p < k; ++p) {
          sum += va[static_cast<size_t>((batch * m + i) * k + p)] *
                 vb[static_cast<size_t>((batch * k + p) * n + j)];
        }
        worst = std::max(worst, std::abs(sum - vo[static_cast<size_t>((batch * m + i) * n + j)]));
      }
    }
  }
  return worst;
}

TEST(Gemm, MultipliesMatricesOfManySizes) {
  for (const auto& [m, k, n] : {std::array<int64_t, 3>{1, 1, 1},
                                {3, 1, 5},
                                {1, 7, 1},
                                {64, 8, 3},
                                {65, 40, 17},
                                {130, 5, 2}}) {
    EXPECT_LE(error_of(random_tensor({m, k}, DType::F32, 1), random_tensor({k, n}, DType::F32, 2)),
              kTolerance32);
    EXPECT_LE(error_of(random_tensor({m, k}, DType::F64, 1), random_tensor({k, n}, DType::F64, 2)),
              kTolerance64);
  }
}

TEST(Gemm, ReadsTransposedOperandsInPlace) {
  const Tensor a = random_tensor({40, 70}, DType::F64, 1).transpose(0, 1);
  const Tensor b = random_tensor({9, 40}, DType::F64, 2).transpose(0, 1);
  EXPECT_LE(error_of(a, b), kTolerance64);
}

TEST(Gemm, ReadsViewsOfLargerTensors) {
  const Tensor a = random_tensor({10, 12}, DType::F64, 1).slice(1, 2, 9);
  const Tensor b = random_tensor({14, 12}, DType::F64, 2).slice(0, 0, 14, 2).slice(1, 1, 12, 3);
  EXPECT_LE(error_of(a, b), kTolerance64);
}

TEST(Gemm, MultipliesBatchesWithExpandedOperands) {
  const Tensor a = random_tensor({2, 3, 4, 5}, DType::F64, 1);
  const Tensor b = random_tensor({3, 5, 6}, DType::F64, 2).expand({2, 3, 5, 6});
  EXPECT_LE(error_of(a, b), kTolerance64);
  EXPECT_LE(error_of(a.transpose(-1, -2), a), kTolerance64);
}

TEST(Gemm, AnEmptyInnerDimensionGivesZeros) {
  Tensor out = Tensor::full({2, 3}, 9.0);
  gemm(Tensor::zeros({2, 0}), Tensor::zeros({0, 3}), out);
  EXPECT_EQ(out.to_vector<float>(), std::vector<float>(6, 0.0f));
}

TEST(Gemm, BitsDoNotDependOnTheThreads) {
  const Tensor a = random_tensor({200, 30}, DType::F32, 1),
               b = random_tensor({30, 20}, DType::F32, 2);
  const auto run = [&](int threads) {
    set_num_threads(threads);
    Tensor out = Tensor::empty({200, 20});
    gemm(a, b, out);
    set_num_threads(0);
    return out.to_vector<float>();
  };
  EXPECT_EQ(run(1), run(7));
}

TEST(Gemm, SizesThatDoNotFitAreNamed) {
  Tensor out = Tensor::zeros({2, 3});
  EXPECT_THROW(gemm(Tensor::zeros({2, 4}), Tensor::zeros({5, 3}), out), ShapeError);
  EXPECT_THROW(gemm(Tensor::zeros({2, 4}), Tensor::zeros({4, 2}), out), ShapeError);
  EXPECT_THROW(gemm(Tensor::zeros({2, 4}), Tensor::zeros({4, 3}, DType::F64), out), TypeError);
}

}  // namespace
}  // namespace espalier
