// SPDX-License-Identifier: Apache-2.0
/// CSR, compressed sparse rows: the values of a matrix that exist, row by row, and the column of
/// each. The format to begin with: any set of positions fits, and rows are found at once. Products
/// with it are kernels/spmm.h and kernels/sddmm.h; blocks of positions are bsr.h, N of M neighbours
/// nm.h.
///
///     1 0 2        row_offsets  0 2 2 4
///     0 0 0        columns      0 2 | | 1 2
///     0 3 4        values       1 2 | | 3 4
///
/// Source: Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd edition, section 3.4; the
/// members are those of PyTorch's sparse CSR tensors (crow_indices, col_indices, values).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <espalier/core/tensor.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse {

/// Where the entries of a CSR matrix are.
struct CsrIndices {
  int64_t rows = 0;                        ///< of the matrix
  int64_t cols = 0;                        ///< of the matrix
  std::vector<int32_t> row_offsets = {0};  ///< rows + 1: where the entries of a row begin, and end
  std::vector<int32_t> columns;            ///< nnz: in [0, cols), ascending within a row

  /// Entries.
  int64_t nnz() const { return static_cast<int64_t>(columns.size()); }
  /// Of row `row`, the columns of its entries.
  std::span<const int32_t> row(int64_t row) const {
    const int32_t* offset = row_offsets.data() + row;
    return {columns.data() + offset[0], columns.data() + offset[1]};
  }
  /// Throws ValueError, which names `what`, unless these are the indices of a matrix: sizes from 0
  /// to 2^31 - 1, offsets that rise from 0 to nnz, columns within the matrix that rise in each row.
  void check(std::string_view what) const;
  /// Those of the transposed matrix. `order`, when given, becomes for each of its entries the entry
  /// of these that it is.
  CsrIndices transpose(std::vector<int32_t>* order = nullptr) const;
  bool operator==(const CsrIndices&) const = default;
};

/// The kept weights as a matrix (K, C*R*S): a row is an output channel, and a column a position
/// among its weights. The entries are in the order of `Support::kept()`.
CsrIndices csr_indices(const Support& support);

/// A matrix (rows, cols) of float32 or float64 of which some entries are stored; the others are 0.
/// Immutable. An entry may be stored that is 0 ("explicit zero"): a kept weight may be.
class Csr {
 public:
  /// values  (nnz), float32 or float64, in the order of the indices; copied.
  /// Throws as CsrIndices::check, ShapeError for another number of values, TypeError.
  Csr(CsrIndices indices, const Tensor& values);

  /// What is not 0 in `dense` (rows, cols). Throws ShapeError for another rank, TypeError unless
  /// float32 or float64, ValueError for 2^31 elements or more.
  static Csr from_dense(const Tensor& dense);
  /// What `support` keeps of `dense`, zeros too, as a matrix (K, C*R*S). Throws ShapeError for
  /// another shape than the support's.
  static Csr from_dense(const Tensor& dense, const Support& support);
  /// The same of `kept_values` (nnz).
  static Csr from_kept(const Tensor& values, const Support& support);

  int64_t rows() const { return indices_.rows; }          ///< of the matrix
  int64_t cols() const { return indices_.cols; }          ///< of the matrix
  int64_t nnz() const { return indices_.nnz(); }          ///< stored entries
  DType dtype() const { return values_.dtype(); }         ///< of the values
  const Tensor& values() const { return values_; }        ///< (nnz), contiguous; do not write to it
  const CsrIndices& indices() const { return indices_; }  ///< where they are
  /// Bytes of values and indices.
  int64_t nbytes() const;

  /// (rows, cols), plain.
  Tensor to_dense() const;
  /// The stored positions, as a mask of a weight (rows, cols).
  Support support() const;
  /// (cols, rows).
  Csr transpose() const;

 private:
  CsrIndices indices_;
  Tensor values_;
};

namespace detail {

/// A plain copy of what a format is to hold. Throws TypeError unless float32 or float64, ShapeError
/// for another shape than the indices ask for; both name `what`.
Tensor checked_values(const Tensor& values, const Shape& expected, std::string_view what);

}  // namespace detail

}  // namespace espalier::sparse
