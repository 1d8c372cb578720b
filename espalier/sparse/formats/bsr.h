// SPDX-License-Identifier: Apache-2.0
/// BSR, block compressed sparse rows: CSR (csr.h) whose entries are small dense blocks. One index
/// serves a whole block, and a product with it reads each row of the other matrix once for all rows
/// of the block: what pruning in blocks (4x1, 8x1) is for.
///
///     1 2 . .        2 x 2 blocks    row_offsets  0 1 2
///     3 0 . .                        columns      0 | 1
///     . . 5 6                        values       1 2 3 0 | 5 6 7 8
///     . . 7 8
///
/// Source: Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd edition, section 3.4 (block
/// entries); the members are those of PyTorch's sparse BSR tensors. There blocks divide the matrix;
/// here the last ones may reach over its edges.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/core/tensor.h>
#include <espalier/sparse/formats/csr.h>

namespace espalier::sparse {

/// Sizes of a block.
struct BlockShape {
  int64_t rows = 4;  ///< of the matrix that a block covers
  int64_t cols = 1;  ///< of the matrix that a block covers
  /// Positions.
  int64_t size() const { return rows * cols; }
  bool operator==(const BlockShape&) const = default;
};

/// Where the blocks of a BSR matrix are.
struct BsrIndices {
  int64_t rows = 0;   ///< of the matrix
  int64_t cols = 0;   ///< of the matrix
  BlockShape block;   ///< at least 1 x 1; need not divide the matrix
  CsrIndices blocks;  ///< (ceil(rows / block.rows), ceil(cols / block.cols)): the stored blocks

  /// Stored blocks.
  int64_t count() const { return blocks.nnz(); }
  /// Positions of the stored blocks that lie within the matrix.
  int64_t positions() const;
  /// Throws ValueError, which names `what`, unless these are the indices of a matrix (see
  /// CsrIndices::check).
  void check(std::string_view what) const;
  bool operator==(const BsrIndices&) const = default;
};

/// CSR entries gathered in blocks: every block of which at least one entry is stored, and for each
/// of its positions, row by row, the entry that lies there, or -1.
struct BlockedEntries {
  BsrIndices indices;            ///< of the blocks
  std::vector<int32_t> entries;  ///< count() x block.rows x block.cols

  /// Of block `b`.
  std::span<const int32_t> of_block(int64_t b) const {
    const auto size = static_cast<size_t>(indices.block.size());
    return {entries.data() + static_cast<size_t>(b) * size, size};
  }
};
/// Throws ValueError for an empty block.
BlockedEntries blocked(const CsrIndices& csr, BlockShape block);
/// Of the kept weights as a matrix (K, C*R*S); entries are places in `Support::kept()`.
inline BlockedEntries blocked(const Support& support, BlockShape block) {
  return blocked(csr_indices(support), block);
}

/// A matrix (rows, cols) of float32 or float64 of which some blocks are stored; the others are 0.
/// Immutable.
class Bsr {
 public:
  /// values  (count, block.rows, block.cols), float32 or float64; copied. What reaches over the
  ///         edges of the matrix must be 0.
  /// Throws as BsrIndices::check, ShapeError for another shape of the values, TypeError, ValueError
  /// for a value over the edge that is not 0.
  Bsr(BsrIndices indices, const Tensor& values);

  /// All blocks of `csr` that have an entry, filled up with zeros.
  static Bsr from_csr(const Csr& csr, BlockShape block);
  /// All blocks of `dense` (rows, cols) with anything that is not 0. Throws as Csr::from_dense.
  static Bsr from_dense(const Tensor& dense, BlockShape block);
  /// All blocks of which `support` keeps anything, as a matrix (K, C*R*S).
  static Bsr from_dense(const Tensor& dense, const Support& support, BlockShape block);

  int64_t rows() const { return indices_.rows; }          ///< of the matrix
  int64_t cols() const { return indices_.cols; }          ///< of the matrix
  BlockShape block() const { return indices_.block; }     ///< sizes of a block
  int64_t count() const { return indices_.count(); }      ///< stored blocks
  DType dtype() const { return values_.dtype(); }         ///< of the values
  const Tensor& values() const { return values_; }        ///< (count, block.rows, block.cols)
  const BsrIndices& indices() const { return indices_; }  ///< where the blocks are
  /// Bytes of values and indices.
  int64_t nbytes() const;
  /// Values that are not 0, of all positions of the stored blocks within the matrix; 1 where there
  /// are none.
  double fill() const;

  /// (rows, cols), plain.
  Tensor to_dense() const;
  /// What is not 0: zeros that fill up a block cannot be told from stored ones.
  Csr to_csr() const;
  /// (cols, rows), in blocks of the transposed shape.
  Bsr transpose() const;

 private:
  BsrIndices indices_;
  Tensor values_;
};

}  // namespace espalier::sparse
