// SPDX-License-Identifier: Apache-2.0
/// Ops that move elements without changing them. Ops that `Nchw16n` can't express (they move
/// samples between lanes) convert to plain and return plain; each says so.
#pragma once

#include <vector>

#include <espalier/autograd/variable.h>

namespace espalier {

/// The same values in another layout.
Variable to_layout(const Variable& a, Layout layout);
/// The same values in another floating element type.
Variable to_dtype(const Variable& a, DType dtype);
/// Same elements, other shape; one size may be -1. Keeps `Nchw16n` when the first dimension stays.
Variable reshape(const Variable& a, const Shape& shape);
/// (N, d1, .., dk) to (N, d1*..*dk). Keeps the layout, copies nothing.
Variable flatten(const Variable& a);
/// Dimension i of the result is dimension `order[i]`. Plain result.
Variable permute(const Variable& a, const std::vector<int>& order);
/// Swaps two dimensions. Plain result.
Variable transpose(const Variable& a, int d0, int d1);
/// Elements begin, begin+step, .. < end of a dimension. Keeps `Nchw16n` for every dimension but the
/// first.
Variable slice(const Variable& a, int dim, int64_t begin, int64_t end, int64_t step = 1);
/// Joins along a dimension; all other sizes must agree. Keeps `Nchw16n` for every dimension but the
/// first.
Variable concat(const std::vector<Variable>& parts, int dim);
/// Cuts a dimension into pieces of the given sizes (their sum must be the dimension's).
std::vector<Variable> split(const Variable& a, const std::vector<int64_t>& sizes, int dim);
/// Adds `before`/`after` entries of `value` at each end of a dimension. Keeps `Nchw16n` but for dim
/// 0.
struct PadAmount {
  int dim;         ///< of the tensor, 0 or more
  int64_t before;  ///< entries added before the first
  int64_t after;   ///< entries added after the last
};
/// Adds the amounts, filled with `value`; see PadAmount.
Variable pad(const Variable& a, const std::vector<PadAmount>& amounts, double value = 0.0);
/// Repeats dimensions of size 1 to `shape`.
Variable expand(const Variable& a, const Shape& shape);
/// out[i][j].. = a[..][index[i][j]..][..] along `dim`; `index` int64 has a's rank. Plain result.
Variable gather(const Variable& a, int dim, const Tensor& index);
/// Zeros of `shape` with `a` added at the positions that `gather` would read: the backward of
/// gather.
Variable scatter_add(const Variable& a, int dim, const Tensor& index, const Shape& shape);
/// Whole slices of `dim` in the order of `index` (int64, rank 1; repeats allowed).
Variable index_select(const Variable& a, int dim, const Tensor& index);
/// Zeros of `size` in dimension `dim` with the slices of `a` added at `index`: backward of
/// index_select.
Variable index_add(const Variable& a, int dim, const Tensor& index, int64_t size);
/// The k largest values along `dim`, largest first, ties by the lower index, and their indices
/// (int64).
struct TopK {
  Variable values;  ///< in the shape of `a` with `k` along the dimension
  Tensor indices;   ///< int64, in the same shape
};
/// See TopK. Throws ValueError when the dimension has fewer than k elements.
TopK topk(const Variable& a, int64_t k, int dim = -1);
/// The values along a dimension in order, and where they stood.
struct Sorted {
  Variable values;  ///< in the shape of `a`
  Tensor indices;   ///< int64, in the same shape
};
/// Sorts along `dim`, smallest first or with `descending` largest first; equal values keep their
/// order (PyTorch's `stable=True`), and a NaN counts as larger than all. Plain result.
Sorted sort(const Variable& a, int dim = -1, bool descending = false);
/// Rows of `table` (V, D) for int64 `ids` of any shape: ids.shape + (D). Throws ValueError out of
/// range.
Variable embedding(const Variable& table, const Tensor& ids);

}  // namespace espalier
