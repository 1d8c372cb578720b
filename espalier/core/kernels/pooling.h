// SPDX-License-Identifier: Apache-2.0
/// Raw pooling over planes and its adjoints, float32 and float64, in either layout: the same loops
/// run over one element or over sixteen lanes. Planes are split over threads; each sum has a fixed
/// order.
#pragma once

#include <vector>

#include <espalier/core/kernels/channel_map.h>
#include <espalier/core/tensor.h>

namespace espalier {

/// Rows (or columns) begin, begin + step, .. < end of a window inside the input.
struct Window {
  int64_t begin;
  int64_t end;
  int64_t counted;  ///< as how many a mean counts them, padding included or not
};

/// The windows of a pooling op: output (i, j) reads rows[i] x cols[j]. None is empty. A mean's
/// steps are 1.
struct PoolWindows {
  std::vector<Window> rows;
  std::vector<Window> cols;
  int64_t row_step = 1;  ///< between the rows of one window (dilation)
  int64_t col_step = 1;  ///< between its columns
  /// What the sum of a window is multiplied with for its mean.
  static double share(const Window& rows, const Window& cols) {
    return 1.0 / static_cast<double>(rows.counted * cols.counted);
  }
};

/// How windows slide along one dimension.
struct Sliding {
  int64_t kernel = 1;    ///< positions of a window
  int64_t stride = 1;    ///< between windows
  int64_t padding = 0;   ///< positions before the first and behind the last
  int64_t dilation = 1;  ///< between the positions of a window
  bool ceil = false;     ///< a last window may reach beyond the padding if it begins before it
  bool counts_padding = true;  ///< `Window::counted` has the positions in the padding too
};
/// These windows over `size` positions, cut to the input; a window that a dilation lets step over
/// the whole input is empty (begin >= end). None if the kernel is larger than input and padding.
std::vector<Window> sliding_windows(int64_t size, const Sliding& sliding);
/// `count` windows that cover `size` positions: floor(i*size/count) .. ceil((i+1)*size/count).
std::vector<Window> adaptive_windows(int64_t size, int64_t count);

/// y (N,C,P,Q): the largest of each window of x (N,C,H,W), the first of equals; a NaN wins.
/// `index` int32, like y: its position h*W + w. Both are overwritten. x may be read through a map.
void max_pool_forward(const MappedTensor& x, const PoolWindows& windows, Tensor& y, Tensor& index);
/// dx (N,C,H,W) = 0, then dx[index] += dy: the adjoint of max_pool_select.
void max_pool_scatter(const Tensor& dy,
                      const Tensor& index,
                      const PoolWindows& windows,
                      Tensor& dx);
/// y = x[index]; overwritten.
void max_pool_select(const Tensor& x, const Tensor& index, Tensor& y);

/// y = mean of each window of x; overwritten.
void mean_pool_forward(const Tensor& x, const PoolWindows& windows, Tensor& y);
/// The adjoint: dx = 0, then each dy divided is added to its window.
void mean_pool_backward(const Tensor& dy, const PoolWindows& windows, Tensor& dx);

}  // namespace espalier
