// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/formats/nm.h>

#include <utility>

#include <espalier/sparse/kept_values.h>

namespace espalier::sparse {
namespace {

void check_shape(NMShape shape, int64_t cols) {
  ESPALIER_CHECK(shape.n >= 1 && shape.n <= shape.m && shape.m <= 256,
                 ValueError,
                 "n:m: expects 1 <= n <= m <= 256, got ",
                 shape.n,
                 ":",
                 shape.m);
  ESPALIER_CHECK(cols >= 0 && cols % shape.m == 0,
                 ValueError,
                 "n:m: expects a multiple of ",
                 shape.m,
                 " columns, got ",
                 cols);
}

}  // namespace

NM::NM(NMShape shape, int64_t cols, std::vector<uint8_t> indices, const Tensor& values)
    : shape_(shape), cols_(cols), indices_(std::move(indices)) {
  check_shape(shape, cols);
  const int64_t rows = values.rank() == 0 ? 0 : values.size(0);
  values_ = detail::checked_values(values, {rows, cols / shape.m * shape.n}, "n:m");
  ESPALIER_CHECK(static_cast<int64_t>(indices_.size()) == values_.numel(),
                 ValueError,
                 "n:m: expects ",
                 values_.numel(),
                 " indices, one for each value, got ",
                 indices_.size());
  for (size_t i = 0; i < indices_.size(); ++i) {
    const bool first = i % static_cast<size_t>(shape.n) == 0;
    ESPALIER_CHECK(indices_[i] < shape.m && (first || indices_[i] > indices_[i - 1]),
                   ValueError,
                   "n:m: expects indices that rise from 0 to ",
                   shape.m - 1,
                   " within each group, got ",
                   int{indices_[i]},
                   first ? "" : cat(" after ", int{indices_[i - 1]}),
                   " at value ",
                   i);
  }
}

NM NM::from_csr(const Csr& csr, NMShape shape) {
  check_shape(shape, csr.cols());
  const int64_t groups = csr.cols() / shape.m;
  std::vector<uint8_t> indices;
  std::vector<int32_t> entries;
  int32_t entry = 0;
  std::vector<int32_t> at(static_cast<size_t>(shape.m));  // the entry at each place of a group
  for (int64_t i = 0; i < csr.rows(); ++i) {
    const std::span<const int32_t> columns = csr.indices().row(i);
    size_t next = 0;
    for (int64_t g = 0; g < groups; ++g) {
      at.assign(at.size(), -1);
      int64_t free = shape.n;
      for (; next < columns.size() && columns[next] < (g + 1) * shape.m; ++next, --free) {
        at[static_cast<size_t>(columns[next] - g * shape.m)] = entry++;
      }
      ESPALIER_CHECK(free >= 0,
                     ValueError,
                     "n:m: expects at most ",
                     shape.n,
                     " of ",
                     shape.m,
                     " neighbours, got ",
                     shape.n - free,
                     " in row ",
                     i,
                     " from column ",
                     g * shape.m,
                     " on");
      for (size_t place = 0; place < at.size(); ++place) {
        if (at[place] < 0 && free-- <= 0) continue;
        indices.push_back(static_cast<uint8_t>(place));
        entries.push_back(at[place]);
      }
    }
  }
  const Tensor values = gather_values(csr.values(), entries);
  return NM(shape, csr.cols(), std::move(indices), values.reshape({csr.rows(), groups * shape.n}));
}

NM NM::from_dense(const Tensor& dense, NMShape shape) {
  return from_csr(Csr::from_dense(dense), shape);
}

NM NM::from_dense(const Tensor& dense, const Support& support, NMShape shape) {
  ESPALIER_CHECK(
      dense.rank() == 2, ShapeError, "n:m: expects a matrix (rows, cols), got ", dense.shape());
  return from_csr(Csr::from_dense(dense, support), shape);
}

Tensor NM::to_dense() const {
  Tensor dense = Tensor::zeros({rows(), cols()}, dtype());
  dispatch_floating(dtype(), "n:m", [&](auto zero) {
    using T = decltype(zero);
    const T* from = values_.data<T>();
    T* to = dense.data<T>();
    for (int64_t i = 0; i < rows(); ++i) {
      for (int64_t v = 0; v < row_size(); ++v) to[i * cols() + column(i, v)] = *from++;
    }
  });
  return dense;
}

Csr NM::to_csr() const {
  CsrIndices csr{rows(), cols(), {0}, {}};
  std::vector<int32_t> places;
  dispatch_floating(dtype(), "n:m", [&](auto zero) {
    using T = decltype(zero);
    const T* from = values_.data<T>();
    for (int64_t i = 0; i < rows(); ++i) {
      for (int64_t v = 0; v < row_size(); ++v) {
        const int64_t place = i * row_size() + v;
        if (from[place] == T{0}) continue;
        csr.columns.push_back(static_cast<int32_t>(column(i, v)));
        places.push_back(static_cast<int32_t>(place));
      }
      csr.row_offsets.push_back(static_cast<int32_t>(csr.columns.size()));
    }
  });
  return Csr(std::move(csr), gather_values(values_.reshape({values_.numel()}), places));
}

}  // namespace espalier::sparse
