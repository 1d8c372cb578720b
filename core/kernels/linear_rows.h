// SPDX-License-Identifier: Apache-2.0
/// The kept weights of a matrix, row by row, as the linear kernels walk over them. Made anew at
/// each call from the mask: about a byte read per weight. Not a public interface, and not the CSR
/// format.
#pragma once

#include <algorithm>
#include <vector>

#include <espalier/core/parallel.h>
#include <espalier/core/tensor.h>

namespace espalier {

/// Kept weights: row r has entries start[r] .. start[r+1].
template <class T>
struct SparseRows {
  std::vector<int64_t> start;
  std::vector<int32_t> col;
  std::vector<T> value;
};

/// Where each row's kept weights start; the last entry is their number. `keep` uint8 (rows, cols).
inline std::vector<int64_t> row_starts(const Tensor& keep) {
  const int64_t rows = keep.size(0), cols = keep.size(1);
  const uint8_t* m = keep.data<uint8_t>();
  std::vector<int64_t> start(static_cast<size_t>(rows) + 1, 0);
  for (int64_t r = 0; r < rows; ++r) {
    uint32_t kept = 0;
    for (int64_t c = 0; c < cols; ++c) kept += m[r * cols + c];
    start[static_cast<size_t>(r) + 1] = start[static_cast<size_t>(r)] + kept;
  }
  return start;
}

/// Calls take(slot, row, column) for every weight; slots of removed ones are overwritten by later
/// calls, so that the walk has no branch to mispredict. The last slot may be one past the kept
/// weights.
template <class Take>
void for_slots(const Tensor& keep, const std::vector<int64_t>& start, Take take) {
  const int64_t rows = keep.size(0), cols = keep.size(1);
  const uint8_t* m = keep.data<uint8_t>();
  for (int64_t r = 0; r < rows; ++r) {
    auto slot = static_cast<size_t>(start[static_cast<size_t>(r)]);
    for (int64_t c = 0; c < cols; ++c) {
      take(slot, r, c);
      slot += m[r * cols + c];
    }
  }
}

/// The kept columns of all rows, one after the other.
inline std::vector<int32_t> kept_columns(const Tensor& keep, const std::vector<int64_t>& start) {
  std::vector<int32_t> out(static_cast<size_t>(start.back()) + 1);
  int32_t* p = out.data();
  for_slots(
      keep, start, [p](size_t slot, int64_t, int64_t c) { p[slot] = static_cast<int32_t>(c); });
  return out;
}

/// The kept weights of the matrix `weight`, contiguous, by rows.
template <class T>
SparseRows<T> sparse_rows(const Tensor& weight, const Tensor& keep, std::vector<int64_t> start) {
  SparseRows<T> out;
  out.col.resize(static_cast<size_t>(start.back()) + 1);
  out.value.resize(static_cast<size_t>(start.back()) + 1);
  const T* w = weight.data<T>();
  const int64_t cols = keep.size(1);
  int32_t* col = out.col.data();
  T* value = out.value.data();
  for_slots(keep, start, [=](size_t slot, int64_t r, int64_t c) {
    col[slot] = static_cast<int32_t>(c);
    value[slot] = w[r * cols + c];
  });
  out.start = std::move(start);
  return out;
}

/// The same weights by columns: the rows of the transposed matrix.
template <class T>
SparseRows<T> transposed(const SparseRows<T>& from, int64_t cols) {
  SparseRows<T> out;
  out.start.assign(static_cast<size_t>(cols) + 1, 0);
  const auto nnz = static_cast<size_t>(from.start.back());
  for (size_t i = 0; i < nnz; ++i) ++out.start[static_cast<size_t>(from.col[i]) + 1];
  for (size_t c = 0; c < static_cast<size_t>(cols); ++c) out.start[c + 1] += out.start[c];
  out.col.resize(nnz);
  out.value.resize(nnz);
  std::vector<int64_t> next(out.start.begin(), out.start.end() - 1);
  for (size_t r = 0; r + 1 < from.start.size(); ++r) {
    const auto end = static_cast<size_t>(from.start[r + 1]);
    for (auto i = static_cast<size_t>(from.start[r]); i < end; ++i) {
      const auto slot = static_cast<size_t>(next[static_cast<size_t>(from.col[i])]++);
      out.col[slot] = static_cast<int32_t>(r);
      out.value[slot] = from.value[i];
    }
  }
  return out;
}

}  // namespace espalier
