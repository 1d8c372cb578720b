// SPDX-License-Identifier: Apache-2.0
// CSR and BSR against PyTorch's sparse tensors; see oracles/formats.py.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include <espalier/core/npz.h>
#include <espalier/sparse/kernels/sddmm.h>
#include <espalier/sparse/kernels/spmm.h>

namespace espalier::sparse {
namespace {

/// As `made` of oracles/formats.py.
Tensor made(int64_t rows, int64_t cols, int64_t seed) {
  Tensor out = Tensor::empty({rows, cols}, DType::F64);
  for (int64_t i = 0; i < out.numel(); ++i) {
    out.data<double>()[i] = static_cast<double>((i * 37 + seed * 101) % 199) / 100.0 - 0.99;
  }
  return out;
}

/// As `matrix` there.
Tensor matrix(int64_t rows, int64_t cols, int64_t seed, int64_t keep) {
  Tensor out = made(rows, cols, seed);
  for (int64_t i = 0; i < out.numel(); ++i) {
    if ((i * 7 + i / cols) % 10 >= keep || i / cols == 1) out.data<double>()[i] = 0.0;
  }
  return out;
}

class FormatsOracle : public ::testing::Test {
 protected:
  void expect(const std::string& name, const Tensor& got) {
    ASSERT_TRUE(arrays_.contains(name)) << name;
    used_.insert(name);
    const Tensor& wanted = arrays_.at(name);
    ASSERT_EQ(got.shape(), wanted.shape()) << name;
    // Sums of at most 17 terms below 1, in two orders.
    const double tolerance = 17.0 * (got.dtype() == DType::F32 ? 0x1p-23 : 0x1p-52);
    const auto a = got.to_vector<double>();
    const auto b = wanted.to_vector<double>();
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance) << name << " at " << i;
  }
  void expect(const std::string& name, const CsrIndices& got) {
    expect_same(name + ".offsets", got.row_offsets);
    expect_same(name + ".columns", got.columns);
  }

  std::map<std::string, Tensor> arrays_ =
      load_npz(std::filesystem::path(ESPALIER_ORACLES) / "formats.npz");
  std::set<std::string> used_;

 private:
  void expect_same(const std::string& name, const std::vector<int32_t>& got) {
    ASSERT_TRUE(arrays_.contains(name)) << name;
    used_.insert(name);
    EXPECT_EQ(got, arrays_.at(name).to_vector<int32_t>()) << name;
  }
};

TEST_F(FormatsOracle, IndicesValuesAndProductsArePyTorchs) {
  struct Size {
    int64_t rows, cols, n, keep;
  };
  for (const DType dtype : {DType::F32, DType::F64}) {
    for (const Size& s : {Size{6, 8, 5, 3}, Size{12, 10, 17, 5}}) {
      const std::string name = cat(dtype == DType::F32 ? "f32." : "f64.", s.rows, "x", s.cols);
      const Tensor dense = matrix(s.rows, s.cols, 1, s.keep).to(dtype);
      const Tensor b = made(s.cols, s.n, 2).to(dtype);
      const Csr csr = Csr::from_dense(dense);
      if (dtype == DType::F64) {
        expect(name + ".csr", csr.indices());
        expect(name + ".csr.values", csr.values());
        expect(name + ".turned", csr.transpose().indices());
        expect(name + ".turned.values", csr.transpose().values());
      }
      expect(name + ".product", spmm(csr, b));
      expect(name + ".sampled",
             sddmm(csr, made(s.rows, s.n, 3).to(dtype), made(s.n, s.cols, 4).to(dtype)).values());
      for (const BlockShape block : {BlockShape{2, 2}, {3, 1}}) {
        const Bsr bsr = Bsr::from_dense(dense, block);
        const std::string blocks = cat(name, ".bsr", block.rows, "x", block.cols);
        if (dtype == DType::F64) {
          expect(blocks, bsr.indices().blocks);
          expect(blocks + ".values", bsr.values());
        }
        if (block.rows == block.cols) expect(blocks + ".product", spmm(bsr, b));
      }
    }
  }
  for (const auto& [name, array] : arrays_) EXPECT_TRUE(used_.contains(name)) << name;
}

}  // namespace
}  // namespace espalier::sparse
