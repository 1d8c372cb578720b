// SPDX-License-Identifier: Apache-2.0
/// N:M, of every M neighbouring columns of a row at most N are stored ("2:4"): M consecutive inputs
/// of a linear layer. Rows of equal length need no row offsets, and an index is a byte: 2:4 in
/// float32 takes 62.5 % of the dense bytes.
///
///     0 1 0 2 | 3 0 0 0       2:4       values   1 2 | 3 0
///                                       indices  1 3 | 0 1
///
/// A convolution's weight (K,C,R,S) is N:M along its input channels; as a matrix it is
/// `weight.permute({0, 2, 3, 1}).reshape({K * R * S, C})`.
///
/// Source: A. Mishra et al., Accelerating Sparse Deep Neural Networks, arXiv:2104.08378, figure 2
/// (the values and the indices of 2:4 of a row).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/core/tensor.h>
#include <espalier/sparse/formats/csr.h>

namespace espalier::sparse {

/// How many of how many.
struct NMShape {
  int64_t n = 2;  ///< stored, from 1 to m
  int64_t m = 4;  ///< of so many neighbours, 256 at most
  bool operator==(const NMShape&) const = default;
};

/// A matrix (rows, cols) of float32 or float64 that stores N of every M neighbours of a row.
/// Immutable. Where fewer are not 0, zeros are stored at the first other places of the group.
class NM {
 public:
  /// values   (rows, cols / m * n), float32 or float64; copied.
  /// indices  as many: place within the group, from 0 to m - 1, rising within each group.
  /// Throws ValueError unless 1 <= n <= m <= 256, m divides cols, and the indices are as they
  /// should be; ShapeError for another shape of the values, TypeError.
  NM(NMShape shape, int64_t cols, std::vector<uint8_t> indices, const Tensor& values);

  /// The entries of `csr`. Throws ValueError where a group has more than n of them, or m does not
  /// divide the columns.
  static NM from_csr(const Csr& csr, NMShape shape);
  /// What is not 0 in `dense` (rows, cols). Throws as Csr::from_dense and from_csr.
  static NM from_dense(const Tensor& dense, NMShape shape);
  /// What `support` keeps of `dense` (rows, cols), zeros too.
  static NM from_dense(const Tensor& dense, const Support& support, NMShape shape);

  NMShape shape() const { return shape_; }                          ///< N and M
  int64_t rows() const { return values_.size(0); }                  ///< of the matrix
  int64_t cols() const { return cols_; }                            ///< of the matrix
  int64_t row_size() const { return values_.size(1); }              ///< stored values of a row
  DType dtype() const { return values_.dtype(); }                   ///< of the values
  const Tensor& values() const { return values_; }                  ///< (rows, row_size)
  const std::vector<uint8_t>& indices() const { return indices_; }  ///< as many
  /// The column of the matrix that stored value `i` of row `row` lies in.
  int64_t column(int64_t row, int64_t i) const {
    return i / shape_.n * shape_.m + indices_[static_cast<size_t>(row * row_size() + i)];
  }
  /// Bytes of values and indices.
  int64_t nbytes() const { return values_.nbytes() + static_cast<int64_t>(indices_.size()); }

  /// (rows, cols), plain.
  Tensor to_dense() const;
  /// What is not 0: zeros that fill up a group cannot be told from stored ones. Its transpose is
  /// the transpose of this: that has N of M neighbours in columns, not in rows.
  Csr to_csr() const;

 private:
  NMShape shape_;
  int64_t cols_;
  std::vector<uint8_t> indices_;
  Tensor values_;
};

}  // namespace espalier::sparse
