// SPDX-License-Identifier: Apache-2.0
// CSR, BSR and N:M by hand, and there and back.
#include <gtest/gtest.h>

#include <espalier/core/random.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/sparse/formats/bsr.h>
#include <espalier/sparse/formats/csr.h>
#include <espalier/sparse/formats/nm.h>
#include <espalier/sparse/kept_values.h>

namespace espalier::sparse {
namespace {

using Indices = std::vector<int32_t>;
using Values = std::vector<double>;

Tensor matrix(const Shape& shape, const Values& values) {
  return Tensor::from<double>(shape, values);
}

/// Of `dtype`, kept with probability `density`; some rows and columns are empty.
Tensor random_matrix(int64_t rows, int64_t cols, double density, DType dtype, uint64_t seed) {
  Tensor out = Tensor::zeros({rows, cols}, DType::F64);
  Rng rng(seed, "formats test");
  for (int64_t i = 0; i < out.numel(); ++i) {
    const double value = rng.uniform64() - 0.5;
    const bool empty = i / cols % 5 == 2 || i % cols % 7 == 3;
    if (rng.uniform64() < density && !empty) out.data<double>()[i] = value;
  }
  return out.to(dtype);
}

/// Sizes that nothing divides, one row, one column, nothing.
const std::vector<std::pair<int64_t, int64_t>>& sizes() {
  static const std::vector<std::pair<int64_t, int64_t>> list = {
      {0, 0}, {0, 5}, {5, 0}, {1, 1}, {1, 9}, {9, 1}, {7, 11}, {16, 16}, {13, 40}};
  return list;
}

template <class Body>
void for_matrices(Body body) {
  for (const DType dtype : {DType::F32, DType::F64}) {
    for (const auto& [rows, cols] : sizes()) {
      for (const double density : {0.0, 0.1, 0.5, 1.0}) {
        body(random_matrix(rows, cols, density, dtype, 1),
             cat(rows, " x ", cols, ", density ", density, ", ", name(dtype)));
      }
    }
  }
}

void expect_equal(const Tensor& a, const Tensor& b, const std::string& what) {
  EXPECT_EQ(a.shape(), b.shape()) << what;
  EXPECT_EQ(a.dtype(), b.dtype()) << what;
  EXPECT_EQ(a.to_vector<double>(), b.to_vector<double>()) << what;
}

TEST(Csr, ByHand) {
  // The example of the header.
  const Csr a = Csr::from_dense(matrix({3, 3}, {1, 0, 2, 0, 0, 0, 0, 3, 4}));
  EXPECT_EQ(a.indices().row_offsets, (Indices{0, 2, 2, 4}));
  EXPECT_EQ(a.indices().columns, (Indices{0, 2, 1, 2}));
  EXPECT_EQ(a.values().to_vector<double>(), (Values{1, 2, 3, 4}));
  EXPECT_EQ(a.nbytes(), 4 * 8 + (4 + 4) * 4);
  const Csr t = a.transpose();
  EXPECT_EQ(t.indices().row_offsets, (Indices{0, 1, 2, 4}));
  EXPECT_EQ(t.indices().columns, (Indices{0, 2, 0, 2}));
  EXPECT_EQ(t.values().to_vector<double>(), (Values{1, 3, 2, 4}));
}

TEST(Csr, KeepsWhatTheSupportKeepsInItsOrder) {
  // (K,C,R,S) = (2,2,1,2): rows are output channels, columns input channels and taps.
  const Support support(Tensor::from<uint8_t>({2, 2, 1, 2}, {1, 0, 1, 1, 0, 1, 1, 0}));
  const Tensor weight = Tensor::from<float>({2, 2, 1, 2}, {5, 9, 0, 7, 9, 6, 8, 9});
  const Csr a = Csr::from_dense(weight, support);
  EXPECT_EQ(a.rows(), 2);
  EXPECT_EQ(a.cols(), 4);
  EXPECT_EQ(a.indices().columns, (Indices{0, 2, 3, 1, 2}));
  EXPECT_EQ(a.values().to_vector<float>(), (std::vector<float>{5, 0, 7, 6, 8}));  // a kept zero
  EXPECT_EQ(a.support().mask().to_vector<uint8_t>(), support.mask().to_vector<uint8_t>());
  expect_equal(a.to_dense(), masked(weight, support).reshape({2, 4}), "dense");
}

TEST(Csr, ThereAndBack) {
  for_matrices([](const Tensor& dense, const std::string& what) {
    const Csr a = Csr::from_dense(dense);
    EXPECT_NO_THROW(a.indices().check("test")) << what;
    EXPECT_EQ(a.nnz(), nonzero_support(dense).nnz()) << what;
    expect_equal(a.to_dense(), dense, what);
    expect_equal(a.transpose().to_dense(), dense.transpose(0, 1).contiguous(), what + ", turned");
    const Csr twice = a.transpose().transpose();
    EXPECT_EQ(twice.indices(), a.indices()) << what;
    expect_equal(twice.values(), a.values(), what + ", turned twice");
    expect_equal(Csr::from_dense(dense, a.support()).values(), a.values(), what + ", support");
  });
}

TEST(Csr, RefusesWhatIsNoMatrix) {
  const auto refuses = [](CsrIndices indices, const std::string& part) {
    const Tensor values = Tensor::ones({indices.nnz()});
    testing::expect_error<ValueError>([&] { Csr(indices, values); }, {"csr", part});
  };
  refuses({2, 3, {0, 1}, {0}}, "3 row offsets");
  refuses({2, 3, {}, {}}, "3 row offsets");
  refuses({2, 3, {1, 1, 1}, {0}}, "from 0 to 1");
  refuses({2, 3, {0, 0, 2}, {0}}, "from 0 to 1");
  refuses({3, 3, {0, 2, 1, 2}, {0, 1}}, "2 and then 1 at row 1");
  refuses({3, 3, {0, 9, 1, 2}, {0, 1}}, "9 and then 1 at row 1");
  refuses({2, 3, {0, 1, 2}, {0, 3}}, "got 3 in row 1");
  refuses({2, 3, {0, 1, 2}, {0, -1}}, "got -1 in row 1");
  refuses({1, 3, {0, 2}, {1, 1}}, "got 1 after 1 in row 0");
  refuses({-1, 3, {}, {}}, "sizes");
  EXPECT_THROW(Csr({1, 2, {0, 1}, {0}}, Tensor::ones({2})), ShapeError);
  EXPECT_THROW(Csr({1, 2, {0, 1}, {0}}, Tensor::ones({1}, DType::I32)), TypeError);
  EXPECT_THROW(Csr::from_dense(Tensor::ones({2, 2, 2})), ShapeError);
  EXPECT_THROW(Csr::from_dense(Tensor::ones({2, 2}, DType::U8)), TypeError);
  const Support other(Tensor::ones({2, 3}, DType::U8));
  EXPECT_THROW(Csr::from_dense(Tensor::ones({2, 2}), other), ShapeError);
}

TEST(Bsr, ByHand) {
  // The example of the header.
  const Tensor dense = matrix({4, 4}, {1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 5, 6, 0, 0, 7, 8});
  const Bsr a = Bsr::from_dense(dense, {2, 2});
  EXPECT_EQ(a.indices().blocks.row_offsets, (Indices{0, 1, 2}));
  EXPECT_EQ(a.indices().blocks.columns, (Indices{0, 1}));
  EXPECT_EQ(a.values().to_vector<double>(), (Values{1, 2, 3, 0, 5, 6, 7, 8}));
  EXPECT_EQ(a.fill(), 7.0 / 8.0);
  EXPECT_EQ(a.nbytes(), 8 * 8 + (3 + 2) * 4);
  EXPECT_EQ(a.transpose().values().to_vector<double>(), (Values{1, 3, 2, 0, 5, 7, 6, 8}));
}

TEST(Bsr, TheLastBlocksReachOverTheEdges) {
  // 3 x 3 in blocks of 2 x 2: the corner is a block of one value.
  const Tensor dense = matrix({3, 3}, {0, 0, 0, 0, 0, 4, 0, 0, 9});
  const Bsr a = Bsr::from_dense(dense, {2, 2});
  EXPECT_EQ(a.indices().blocks.row_offsets, (Indices{0, 1, 2}));
  EXPECT_EQ(a.indices().blocks.columns, (Indices{1, 1}));
  EXPECT_EQ(a.values().to_vector<double>(), (Values{0, 0, 4, 0, 9, 0, 0, 0}));
  EXPECT_EQ(a.indices().positions(), 2 + 1);
  EXPECT_EQ(a.fill(), 2.0 / 3.0);
  Tensor over = a.values().clone();
  over.data<double>()[1] = 1.0;  // row 0, column 3
  testing::expect_error<ValueError>([&] { Bsr(a.indices(), over); },
                                    {"bsr", "block 0", "row 0, column 3", "3 x 3"});
}

TEST(Bsr, TellsWhichKeptWeightLiesWhere) {
  // Three output channels in blocks of two: the second block has one row.
  const Support support(Tensor::from<uint8_t>({3, 2, 1, 1}, {1, 0, 1, 1, 0, 1}));
  const BlockedEntries entries = blocked(support, {2, 1});
  EXPECT_EQ(entries.indices.blocks.row_offsets, (Indices{0, 2, 3}));
  EXPECT_EQ(entries.indices.blocks.columns, (Indices{0, 1, 1}));
  EXPECT_EQ(entries.entries, (Indices{0, 1, -1, 2, 3, -1}));
}

TEST(Bsr, ThereAndBack) {
  for_matrices([](const Tensor& dense, const std::string& told) {
    for (const BlockShape block : {BlockShape{1, 1}, {4, 1}, {1, 4}, {2, 3}, {8, 1}, {50, 50}}) {
      const std::string what = cat(told, ", blocks of ", block.rows, " x ", block.cols);
      const Bsr a = Bsr::from_dense(dense, block);
      EXPECT_NO_THROW(a.indices().check("test")) << what;
      expect_equal(a.to_dense(), dense, what);
      const Csr csr = Csr::from_dense(dense);
      EXPECT_EQ(a.to_csr().indices(), csr.indices()) << what;
      expect_equal(a.to_csr().values(), csr.values(), what);
      expect_equal(a.transpose().to_dense(), dense.transpose(0, 1).contiguous(), what + ", turned");
      const Bsr twice = a.transpose().transpose();
      EXPECT_EQ(twice.indices(), a.indices()) << what;
      expect_equal(twice.values(), a.values(), what + ", turned twice");
      // Kept zeros fill up their block as well.
      const Support all(Tensor::ones(dense.shape(), DType::U8));
      EXPECT_EQ(Bsr::from_dense(dense, all, block).indices().positions(), dense.numel()) << what;
      if (block == BlockShape{1, 1}) {
        EXPECT_EQ(a.indices().blocks, csr.indices()) << what;
      }
    }
  });
}

TEST(Bsr, RefusesWhatIsNoMatrix) {
  const Tensor dense = Tensor::ones({4, 4});
  EXPECT_THROW(Bsr::from_dense(dense, {0, 1}), ValueError);
  EXPECT_THROW(Bsr::from_dense(dense, {1, int64_t{1} << 62}), ValueError);
  const BsrIndices good = Bsr::from_dense(dense, {2, 2}).indices();
  EXPECT_THROW(Bsr(good, Tensor::ones({4, 4})), ShapeError);
  BsrIndices bad = good;
  bad.rows = 5;
  testing::expect_error<ValueError>(
      [&] {
        Bsr(bad, Tensor::ones({4, 2, 2}));
      },
      {"bsr", "3 x 2 blocks of 2 x 2", "5 x 4", "got 2 x 2"});
  bad = good;
  bad.blocks.columns[1] = 2;
  EXPECT_THROW(Bsr(bad, Tensor::ones({4, 2, 2})), ValueError);
}

TEST(NM, ByHand) {
  // The example of the header: the second group has one value, and a zero at its first free place.
  const NM a = NM::from_dense(matrix({1, 8}, {0, 1, 0, 2, 3, 0, 0, 0}), {2, 4});
  EXPECT_EQ(a.values().to_vector<double>(), (Values{1, 2, 3, 0}));
  EXPECT_EQ(a.indices(), (std::vector<uint8_t>{1, 3, 0, 1}));
  EXPECT_EQ(a.column(0, 1), 3);
  EXPECT_EQ(a.column(0, 2), 4);
  EXPECT_EQ(a.nbytes(), 4 * 8 + 4);
  // A free place before the value.
  const NM b = NM::from_dense(matrix({1, 4}, {0, 0, 0, 5}), {2, 4});
  EXPECT_EQ(b.values().to_vector<double>(), (Values{0, 5}));
  EXPECT_EQ(b.indices(), (std::vector<uint8_t>{0, 3}));
}

TEST(NM, TakesFiveEighthsOfTheDenseBytesAtTwoOfFour) {
  const Tensor dense = Tensor::zeros({64, 128});
  EXPECT_EQ(NM::from_dense(dense, {2, 4}).nbytes() * 8, dense.nbytes() * 5);
}

TEST(NM, ThereAndBack) {
  for (const NMShape shape : {NMShape{1, 1}, {2, 4}, {4, 8}, {1, 4}, {3, 3}, {1, 256}}) {
    for (const auto& [rows, groups] : sizes()) {
      for (const DType dtype : {DType::F32, DType::F64}) {
        const std::string what = cat(shape.n, ":", shape.m, ", ", rows, " x ", groups, " groups");
        // Up to n of each group.
        Tensor dense = random_matrix(rows, groups * shape.m, 0.7, dtype, 2);
        for (int64_t g = 0; g < rows * groups; ++g) {
          Tensor group = dense.reshape({rows * groups, shape.m}).slice(0, g, g + 1);
          int64_t found = 0;
          for (int64_t i = 0; i < shape.m; ++i) {
            if (group.at({0, i}) != 0.0 && ++found > shape.n) group.slice(1, i, i + 1).fill_(0.0);
          }
        }
        const NM a = NM::from_dense(dense, shape);
        EXPECT_EQ(a.rows(), rows) << what;
        EXPECT_EQ(a.values().numel(), rows * groups * shape.n) << what;
        expect_equal(a.to_dense(), dense, what);
        const Csr csr = Csr::from_dense(dense);
        EXPECT_EQ(a.to_csr().indices(), csr.indices()) << what;
        expect_equal(NM::from_csr(csr, shape).values(), a.values(), what);
        expect_equal(NM::from_dense(dense, csr.support(), shape).to_dense(), dense, what);
      }
    }
  }
}

TEST(NM, RefusesWhatIsNotNOfM) {
  const Tensor dense = matrix({2, 4}, {1, 0, 0, 0, 1, 1, 0, 1});
  testing::expect_error<ValueError>(
      [&] {
        NM::from_dense(dense, {2, 4});
      },
      {"at most 2 of 4", "got 3", "row 1", "column 0"});
  testing::expect_error<ValueError>(
      [&] {
        NM::from_dense(dense, {2, 3});
      },
      {"multiple of 3", "got 4"});
  EXPECT_THROW(NM::from_dense(dense, {0, 4}), ValueError);
  EXPECT_THROW(NM::from_dense(dense, {5, 4}), ValueError);
  EXPECT_THROW(NM::from_dense(Tensor::zeros({1, 512}), {1, 512}), ValueError);
  const Tensor values = Tensor::ones({1, 2});
  EXPECT_THROW(NM({2, 4}, 4, {1, 1}, values), ValueError);
  EXPECT_THROW(NM({2, 4}, 4, {3, 1}, values), ValueError);
  EXPECT_THROW(NM({2, 4}, 4, {1, 4}, values), ValueError);
  EXPECT_THROW(NM({2, 4}, 4, {1}, values), ValueError);
  EXPECT_THROW(NM({2, 4}, 8, {0, 1}, values), ShapeError);
  EXPECT_THROW(NM({2, 4}, 4, {0, 1}, Tensor::ones({1, 2}, DType::I32)), TypeError);
}

TEST(Formats, AConvolutionsWeightIsNOfMAlongItsInputChannels) {
  // (K,C,R,S) = (1,4,1,2): of four input channels two at each tap.
  const Tensor weight = Tensor::from<float>({1, 4, 1, 2}, {1, 0, 0, 2, 3, 4, 0, 0});
  const NM a = NM::from_dense(weight.permute({0, 2, 3, 1}).reshape({2, 4}), {2, 4});
  EXPECT_EQ(a.values().to_vector<float>(), (std::vector<float>{1, 3, 2, 4}));
  EXPECT_EQ(a.indices(), (std::vector<uint8_t>{0, 2, 1, 2}));
}

TEST(KeptValues, GatherGivesZeroForWhatIsNotThere) {
  const Tensor values = matrix({3}, {5, 6, 7});
  EXPECT_EQ(gather_values(values, {2, -1, 0, 2}).to_vector<double>(), (Values{7, 0, 5, 7}));
  EXPECT_EQ(gather_values(values, {}).numel(), 0);
  EXPECT_THROW(gather_values(Tensor::ones({1}, DType::I32), {0}), TypeError);
}

}  // namespace
}  // namespace espalier::sparse
