// SPDX-License-Identifier: Apache-2.0
/// Innermost loops of products of sparse and dense matrices, for every SIMD target. Not a public
/// interface.
#pragma once

#include <cstdint>

namespace espalier::sparse::detail {

/// Rows of a block that pass over a row of the dense matrix together.
inline constexpr int kSpmmRows = 4;

/// out[r,:] = sum over blocks e and columns c of values[e * value_step + r * block_cols + c] *
/// b[columns[e] * block_cols + c, :], for r < rows. Single values are blocks of 1 x 1.
template <class T>
struct SpmmJob {
  const int32_t* columns = nullptr;  ///< of blocks
  const T* values = nullptr;         ///< of the first of the rows in the first block
  int64_t blocks = 0;
  int64_t value_step = 1;  ///< values from a block to the next
  int64_t block_cols = 1;
  int64_t rows = 1;      ///< to kSpmmRows
  const T* b = nullptr;  ///< (b_rows, n)
  int64_t b_rows = 0, n = 0;
  T* out = nullptr;  ///< (rows, n), overwritten
};
template <class T>
using SpmmFn = void (*)(const SpmmJob<T>& job);

/// out[i] = sum over k of a[k] * b[columns[i] * size + k], for i < count.
template <class T>
struct DotsJob {
  const T* a;  ///< (size)
  const T* b;  ///< rows of `size`
  const int32_t* columns;
  int64_t count, size;
  T* out;
};
template <class T>
using DotsFn = void (*)(const DotsJob<T>& job);

/// The kernels of the SIMD target in use, for float and double.
template <class T>
SpmmFn<T> spmm_kernel();
template <class T>
DotsFn<T> dots_kernel();

}  // namespace espalier::sparse::detail
