// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/formats/csr.h>

#include <limits>
#include <utility>

#include <espalier/sparse/kept_values.h>

namespace espalier::sparse {

void CsrIndices::check(std::string_view what) const {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const auto in_range = [](int64_t size) { return size >= 0 && size <= kMost; };
  ESPALIER_CHECK(in_range(rows) && in_range(cols) && in_range(nnz()),
                 ValueError,
                 what,
                 ": expects sizes and entries from 0 to 2^31 - 1, got ",
                 rows,
                 " x ",
                 cols,
                 " with ",
                 nnz(),
                 " entries");
  ESPALIER_CHECK(static_cast<int64_t>(row_offsets.size()) == rows + 1 && row_offsets.front() == 0 &&
                     row_offsets.back() == nnz(),
                 ValueError,
                 what,
                 ": expects ",
                 rows + 1,
                 " row offsets from 0 to ",
                 nnz(),
                 ", got ",
                 row_offsets.size(),
                 row_offsets.empty() ? "" : cat(" from ", row_offsets.front(), " to "),
                 row_offsets.empty() ? "" : cat(row_offsets.back()));
  // Before any of them is used as an index.
  for (int64_t i = 0; i < rows; ++i) {
    const auto at = static_cast<size_t>(i);
    ESPALIER_CHECK(row_offsets[at] <= row_offsets[at + 1],
                   ValueError,
                   what,
                   ": expects row offsets that rise, got ",
                   row_offsets[at],
                   " and then ",
                   row_offsets[at + 1],
                   " at row ",
                   i);
  }
  for (int64_t i = 0; i < rows; ++i) {
    int64_t before = -1;
    for (const int32_t column : row(i)) {
      ESPALIER_CHECK(column > before && column < cols,
                     ValueError,
                     what,
                     ": expects columns that rise from 0 to ",
                     cols - 1,
                     " in each row, got ",
                     column,
                     before < 0 ? "" : cat(" after ", before),
                     " in row ",
                     i);
      before = column;
    }
  }
}

CsrIndices CsrIndices::transpose(std::vector<int32_t>* order) const {
  CsrIndices out{cols, rows, std::vector<int32_t>(static_cast<size_t>(cols) + 1), {}};
  for (const int32_t column : columns) ++out.row_offsets[static_cast<size_t>(column) + 1];
  for (size_t c = 1; c < out.row_offsets.size(); ++c) out.row_offsets[c] += out.row_offsets[c - 1];
  out.columns.resize(columns.size());
  if (order != nullptr) order->resize(columns.size());
  std::vector<int32_t> next(out.row_offsets.begin(), out.row_offsets.end() - 1);
  int32_t entry = 0;
  for (int64_t i = 0; i < rows; ++i) {
    for (const int32_t column : row(i)) {
      const auto at = static_cast<size_t>(next[static_cast<size_t>(column)]++);
      out.columns[at] = static_cast<int32_t>(i);
      if (order != nullptr) (*order)[at] = entry;
      ++entry;
    }
  }
  return out;
}

CsrIndices csr_indices(const Support& support) {
  const Shape& shape = support.shape();
  CsrIndices out;
  out.rows = shape.rank() == 0 ? 1 : shape[0];
  out.cols = 1;
  for (int d = 1; d < shape.rank(); ++d) out.cols *= shape[d];
  out.row_offsets.reserve(static_cast<size_t>(out.rows) + 1);
  out.columns.reserve(static_cast<size_t>(support.nnz()));
  int64_t row = 0;
  for (const int32_t flat : support.kept()) {
    for (; flat >= (row + 1) * out.cols; ++row) {
      out.row_offsets.push_back(static_cast<int32_t>(out.columns.size()));
    }
    out.columns.push_back(static_cast<int32_t>(flat - row * out.cols));
  }
  out.row_offsets.resize(static_cast<size_t>(out.rows) + 1, static_cast<int32_t>(support.nnz()));
  return out;
}

Csr::Csr(CsrIndices indices, const Tensor& values) : indices_(std::move(indices)) {
  indices_.check("csr");
  values_ = detail::checked_values(values, {indices_.nnz()}, "csr");
}

Csr Csr::from_dense(const Tensor& dense) {
  ESPALIER_CHECK(
      dense.rank() == 2, ShapeError, "csr: expects a matrix (rows, cols), got ", dense.shape());
  return from_dense(dense, nonzero_support(dense));
}

Csr Csr::from_dense(const Tensor& dense, const Support& support) {
  return from_kept(kept_values(dense, support), support);
}

Csr Csr::from_kept(const Tensor& values, const Support& support) {
  return Csr(csr_indices(support), values);
}

int64_t Csr::nbytes() const {
  const size_t numbers = indices_.row_offsets.size() + indices_.columns.size();
  return values_.nbytes() + static_cast<int64_t>(numbers * sizeof(int32_t));
}

Tensor Csr::to_dense() const {
  Tensor dense = Tensor::zeros({rows(), cols()}, dtype());
  dispatch_floating(dtype(), "csr", [&](auto zero) {
    using T = decltype(zero);
    const T* from = values_.data<T>();
    T* to = dense.data<T>();
    for (int64_t i = 0; i < rows(); ++i) {
      for (const int32_t column : indices_.row(i)) to[i * cols() + column] = *from++;
    }
  });
  return dense;
}

Support Csr::support() const {
  Tensor mask = Tensor::zeros({rows(), cols()}, DType::U8);
  uint8_t* kept = mask.data<uint8_t>();
  for (int64_t i = 0; i < rows(); ++i) {
    for (const int32_t column : indices_.row(i)) kept[i * cols() + column] = 1;
  }
  return Support(mask);
}

Csr Csr::transpose() const {
  std::vector<int32_t> order;
  CsrIndices indices = indices_.transpose(&order);
  return Csr(std::move(indices), gather_values(values_, order));
}

namespace detail {

Tensor checked_values(const Tensor& values, const Shape& expected, std::string_view what) {
  ESPALIER_CHECK(is_floating(values.dtype()),
                 TypeError,
                 what,
                 ": expects float32 or float64, got ",
                 name(values.dtype()));
  ESPALIER_CHECK(values.shape() == expected,
                 ShapeError,
                 what,
                 ": expects values ",
                 expected,
                 ", one for each entry, got ",
                 values.shape());
  return values.to(Layout::Nchw).clone();
}

}  // namespace detail

}  // namespace espalier::sparse
