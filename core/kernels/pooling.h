// SPDX-License-Identifier: Apache-2.0
/// Raw pooling over planes and its adjoints, float32 and float64, in either layout: the same loops
/// run over one element or over sixteen lanes. Planes are split over threads; each sum has a fixed
/// order.
#pragma once

#include <vector>

#include <espalier/core/tensor.h>

namespace espalier {

/// Rows (or columns) [begin, end) of a window inside the input.
struct Window {
  int64_t begin;
  int64_t end;
};

/// The windows of a pooling op: output (i, j) reads rows[i] x cols[j]. None is empty.
struct PoolWindows {
  std::vector<Window> rows;
  std::vector<Window> cols;
  /// What a window's sum is divided by; 0 means the window's own size.
  int64_t divisor = 0;
};

/// Windows of `kernel` every `stride` over `size` positions with `padding` at both ends, cut to the
/// input.
std::vector<Window> sliding_windows(int64_t size, int64_t kernel, int64_t stride, int64_t padding);
/// `count` windows that cover `size` positions: floor(i*size/count) .. ceil((i+1)*size/count).
std::vector<Window> adaptive_windows(int64_t size, int64_t count);

/// y (N,C,P,Q): the largest of each window of x (N,C,H,W), the first of equals; a NaN wins.
/// `index` int32, like y: its position h*W + w. Both are overwritten.
void max_pool_forward(const Tensor& x, const PoolWindows& windows, Tensor& y, Tensor& index);
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
