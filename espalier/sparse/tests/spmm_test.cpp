// SPDX-License-Identifier: Apache-2.0
// Products with CSR, BSR and N:M against float64 references, dense matrix products and by hand.
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/core/kernels/gemm.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>
#include <espalier/core/simd.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/sparse/kernels/sddmm.h>
#include <espalier/sparse/kernels/spmm.h>

namespace espalier::sparse {
namespace {

/// Rounding of sums, relative to the sum of the terms' magnitudes.
double tolerance(DType dtype) {
  return 16.0 * (dtype == DType::F32 ? 0x1p-24 : 0x1p-53);
}

Tensor random_matrix(const Shape& shape, double density, DType dtype, uint64_t seed) {
  Tensor out = Tensor::zeros(shape, DType::F64);
  Rng rng(seed, "spmm test");
  for (int64_t i = 0; i < out.numel(); ++i) {
    const double value = rng.uniform64() - 0.5;
    if (rng.uniform64() < density) out.data<double>()[i] = value;
  }
  return out.to(dtype);
}

Tensor magnitude(const Tensor& a) {
  Tensor out = a.to(DType::F64).clone();
  for (double* p = out.data<double>(); p < out.data<double>() + out.numel(); ++p)
    *p = std::fabs(*p);
  return out;
}

/// By OpenBLAS, in float64.
Tensor dense_product(const Tensor& a, const Tensor& b) {
  Tensor out = Tensor::zeros({a.size(0), b.size(1)}, DType::F64);
  if (a.size(1) > 0 && out.numel() > 0) gemm(a.to(DType::F64), b.to(DType::F64), out);
  return out;
}

void expect_close(const Tensor& got,
                  const Tensor& exact,
                  const Tensor& terms,
                  DType dtype,
                  const std::string& what) {
  ASSERT_EQ(got.shape(), exact.shape()) << what;
  ASSERT_EQ(got.dtype(), dtype) << what;
  const auto g = got.to_vector<double>();
  const auto e = exact.to_vector<double>();
  const auto t = terms.to_vector<double>();
  for (size_t i = 0; i < g.size(); ++i) {
    ASSERT_LE(std::fabs(g[i] - e[i]), tolerance(dtype) * t[i]) << what << " at " << i;
  }
}

/// A matrix in every format, by name.
template <class Body>
void in_every_format(const Tensor& dense, Body body) {
  body(Csr::from_dense(dense), "csr");
  for (const BlockShape block : {BlockShape{4, 1}, {8, 1}, {3, 2}, {1, 5}, {2, 64}}) {
    body(Bsr::from_dense(dense, block), cat("bsr ", block.rows, "x", block.cols));
  }
  for (const int64_t m : {1, 4, 256}) {
    if (dense.size(1) % m == 0) body(NM::from_dense(dense, {m, m}), cat(m, ":", m));
  }
}

/// uint8, 1 where a format stores a value.
Tensor stored_positions(const Csr& a) {
  return a.support().mask();
}
Tensor stored_positions(const Bsr& a) {
  const BlockedEntries all =
      blocked(Support(Tensor::ones({a.rows(), a.cols()}, DType::U8)), a.block());
  Tensor mask = Tensor::zeros({a.rows(), a.cols()}, DType::U8);
  const CsrIndices& blocks = a.indices().blocks;
  for (int64_t i = 0; i < blocks.rows; ++i) {
    for (const int32_t column : blocks.row(i)) {
      for (const int32_t flat : all.of_block(i * blocks.cols + column)) {
        if (flat >= 0) mask.data<uint8_t>()[flat] = 1;
      }
    }
  }
  return mask;
}
Tensor stored_positions(const NM& a) {
  Tensor mask = Tensor::zeros({a.rows(), a.cols()}, DType::U8);
  for (int64_t i = 0; i < a.rows(); ++i) {
    for (int64_t v = 0; v < a.row_size(); ++v) {
      mask.data<uint8_t>()[i * a.cols() + a.column(i, v)] = 1;
    }
  }
  return mask;
}

class SpmmTest : public ::testing::Test {
 protected:
  void TearDown() override {
    set_simd_target("");
    set_num_threads(0);
  }
};

struct Case {
  int64_t rows, inner, cols;
};

/// Widths around every tile and tail of vectors of 4, 8 and 16, and sizes of nothing.
const std::vector<Case>& cases() {
  static const std::vector<Case> list = {{0, 4, 3},
                                         {4, 0, 3},
                                         {4, 4, 0},
                                         {1, 1, 1},
                                         {5, 7, 2},
                                         {9, 8, 15},
                                         {16, 20, 17},
                                         {13, 40, 33},
                                         {6, 12, 64},
                                         {7, 36, 79},
                                         {3, 300, 130}};
  return list;
}

TEST_F(SpmmTest, EqualsTheDenseProductOnEveryTargetDensityAndTail) {
  for (const DType dtype : {DType::F32, DType::F64}) {
    for (const Case& c : cases()) {
      for (const double density : {0.0, 0.02, 0.1, 0.5, 1.0}) {
        const Tensor dense = random_matrix({c.rows, c.inner}, density, dtype, 1);
        const Tensor b = random_matrix({c.inner, c.cols}, 1.0, dtype, 2);
        const Tensor exact = dense_product(dense, b);
        const Tensor terms = dense_product(magnitude(dense), magnitude(b));
        in_every_format(dense, [&](const auto& a, const std::string& format) {
          const std::string what =
              cat(format, ", ", dense.shape(), " x ", b.shape(), ", ", density);
          expect_close(reference::spmm(a, b), exact, terms, dtype, what + ", reference");
          for (const std::string& target : simd_targets()) {
            set_simd_target(target);
            expect_close(spmm(a, b), exact, terms, dtype, cat(what, ", ", target));
          }
          set_simd_target("");
        });
      }
    }
  }
}

TEST_F(SpmmTest, SddmmEqualsTheDenseProductAtStoredPositions) {
  for (const DType dtype : {DType::F32, DType::F64}) {
    for (const Case& c : cases()) {
      for (const double density : {0.0, 0.1, 0.5, 1.0}) {
        const Tensor positions = random_matrix({c.rows, c.cols}, density, dtype, 3);
        const Tensor a = random_matrix({c.rows, c.inner}, 1.0, dtype, 4);
        const Tensor b = random_matrix({c.inner, c.cols}, 1.0, dtype, 5);
        const Tensor exact = dense_product(a, b);
        const Tensor terms = dense_product(magnitude(a), magnitude(b));
        in_every_format(positions, [&](const auto& at, const std::string& format) {
          const std::string what = cat(format, ", ", a.shape(), " x ", b.shape(), ", ", density);
          const Tensor where = stored_positions(at);
          const auto masked = [&](const Tensor& of) {
            Tensor out = of.clone();
            for (int64_t i = 0; i < out.numel(); ++i) {
              out.data<double>()[i] *= where.data<uint8_t>()[i];
            }
            return out;
          };
          expect_close(reference::sddmm(at, a, b).to_dense(),
                       masked(exact),
                       masked(terms),
                       dtype,
                       what + ", reference");
          for (const std::string& target : simd_targets()) {
            set_simd_target(target);
            expect_close(
                sddmm(at, a, b).to_dense(), masked(exact), masked(terms), dtype, what + target);
          }
          set_simd_target("");
        });
      }
    }
  }
}

TEST_F(SpmmTest, ByHand) {
  //  1 0 2     1 10      7 70
  //  0 0 0  x  2 20  =   0  0
  //  0 3 4     3 30     18 180
  const Tensor dense = Tensor::from<float>({3, 3}, {1, 0, 2, 0, 0, 0, 0, 3, 4});
  const Tensor b = Tensor::from<float>({3, 2}, {1, 10, 2, 20, 3, 30});
  in_every_format(dense, [&](const auto& a, const std::string& format) {
    EXPECT_EQ(spmm(a, b).template to_vector<float>(), (std::vector<float>{7, 70, 0, 0, 18, 180}))
        << format;
  });
  // At the same four positions, of rows (1 0), (7 7), (5 1) and columns (1 10), (2 20), (3 30).
  const Tensor left = Tensor::from<float>({3, 2}, {1, 0, 7, 7, 5, 1});
  const Tensor right = Tensor::from<float>({2, 3}, {1, 2, 3, 10, 20, 30});
  const Csr sampled = sddmm(Csr::from_dense(dense), left, right);
  EXPECT_EQ(sampled.values().to_vector<float>(),
            (std::vector<float>{1, 3, 5 * 2 + 20, 5 * 3 + 30}));
}

TEST_F(SpmmTest, TheTransposedMatrixGivesTheTransposedProduct) {
  const Tensor dense = random_matrix({19, 23}, 0.2, DType::F64, 1);
  const Tensor b = random_matrix({19, 11}, 1.0, DType::F64, 2);
  const Tensor exact = dense_product(dense.transpose(0, 1), b);
  const Tensor terms = dense_product(magnitude(dense).transpose(0, 1), magnitude(b));
  expect_close(spmm(Csr::from_dense(dense).transpose(), b), exact, terms, DType::F64, "csr");
  expect_close(
      spmm(Bsr::from_dense(dense, {4, 3}).transpose(), b), exact, terms, DType::F64, "bsr");
}

TEST_F(SpmmTest, TheGradientOfASparseWeightIsASampledProduct) {
  // y = w x with L = sum(g * y): dL/dw at a kept position moves L as much as the weight does.
  const Tensor dense = random_matrix({6, 8}, 0.3, DType::F64, 1);
  const Csr w = Csr::from_dense(dense);
  const Tensor x = random_matrix({8, 5}, 1.0, DType::F64, 2);
  const Tensor g = random_matrix({6, 5}, 1.0, DType::F64, 3);
  const auto loss = [&](const Csr& weight) {
    const auto y = spmm(weight, x).to_vector<double>();
    const auto factors = g.to_vector<double>();
    double sum = 0.0;
    for (size_t i = 0; i < y.size(); ++i) sum += factors[i] * y[i];
    return sum;
  };
  const auto gradient = sddmm(w, g, x.transpose(0, 1)).values().to_vector<double>();
  for (int64_t i = 0; i < w.nnz(); ++i) {
    Tensor moved = w.values().clone();
    moved.data<double>()[i] += 1.0;
    EXPECT_NEAR(loss(Csr(w.indices(), moved)) - loss(w), gradient[static_cast<size_t>(i)], 1e-12);
  }
}

TEST_F(SpmmTest, BitsDontDependOnTheThreadCount) {
  for (const DType dtype : {DType::F32, DType::F64}) {
    const Tensor dense = random_matrix({203, 160}, 0.2, dtype, 1);
    const Tensor b = random_matrix({160, 77}, 1.0, dtype, 2);
    const Tensor left = random_matrix({203, 77}, 1.0, dtype, 3);
    const Tensor right = random_matrix({77, 160}, 1.0, dtype, 4);
    in_every_format(dense, [&](const auto& a, const std::string& format) {
      set_num_threads(1);
      const auto product = spmm(a, b).template to_vector<double>();
      const auto values = sddmm(a, left, right).values().template to_vector<double>();
      for (const int threads : {2, 7}) {
        set_num_threads(threads);
        EXPECT_EQ(spmm(a, b).template to_vector<double>(), product) << format;
        EXPECT_EQ(sddmm(a, left, right).values().template to_vector<double>(), values) << format;
      }
    });
  }
}

TEST_F(SpmmTest, ReadsOtherStrides) {
  const Tensor dense = random_matrix({6, 9}, 0.4, DType::F32, 1);
  const Tensor b = random_matrix({5, 9}, 1.0, DType::F32, 2);
  const Csr a = Csr::from_dense(dense);
  EXPECT_EQ(spmm(a, b.transpose(0, 1)).to_vector<float>(),
            spmm(a, b.transpose(0, 1).contiguous()).to_vector<float>());
}

TEST_F(SpmmTest, CountsStoredValues) {
  const Tensor dense = Tensor::from<float>({2, 4}, {1, 0, 0, 2, 0, 0, 0, 0});
  const Tensor b = Tensor::ones({4, 3});
  const auto macs = [&](const auto& a) {
    const MacCounter counter;
    spmm(a, b);
    return counter.macs();
  };
  EXPECT_EQ(macs(Csr::from_dense(dense)), 2 * 3);
  EXPECT_EQ(macs(Bsr::from_dense(dense, {2, 1})), 2 * 2 * 3);
  EXPECT_EQ(macs(NM::from_dense(dense, {2, 4})), 4 * 3);
}

TEST_F(SpmmTest, RefusesWhatDoesNotFit) {
  const Csr a = Csr::from_dense(Tensor::ones({2, 4}));
  testing::expect_error<ShapeError>(
      [&] {
        spmm(a, Tensor::ones({3, 5}));
      },
      {"spmm", "(4,N)", "(3,5)"});
  EXPECT_THROW(spmm(a, Tensor::ones({4})), ShapeError);
  testing::expect_error<TypeError>(
      [&] {
        spmm(a, Tensor::ones({4, 5}, DType::F64));
      },
      {"spmm", "float32", "float64"});
  testing::expect_error<ShapeError>(
      [&] {
        sddmm(a, Tensor::ones({2, 3}), Tensor::ones({2, 4}));
      },
      {"sddmm", "(2,K)", "(K,4)", "(2,4)"});
  EXPECT_THROW(sddmm(a, Tensor::ones({2, 3}), Tensor::ones({3, 4}, DType::F64)), TypeError);
}

}  // namespace
}  // namespace espalier::sparse
