// SPDX-License-Identifier: Apache-2.0
/// Loops over one plane that gates need in evaluation, and how they share them between threads. Not
/// a public interface.
#pragma once

#include <algorithm>
#include <cstdint>

#include <espalier/core/parallel.h>

namespace espalier::nn::detail {

/// Copies `size` floats and returns the sum of their absolute values.
float copy_and_sum(const float* x, int64_t size, float* out);

/// y = y * scale + shift, + residual (null: none), then max(y, 0) if `relu`.
void finish_plane(
    float* y, int64_t size, float scale, float shift, const float* residual, bool relu);

/// Writes the indices i with y[i] >= least to `positions` (room for `size` + 1); returns how many.
int64_t list_above(const float* y, int64_t size, float least, int32_t* positions);

/// Calls body(i) for i in 0..n-1, in parallel if `share` says so and pieces are worth it: `cost` is
/// the multiply-accumulates or moved floats of one i. With more samples than one, each is a task
/// already.
template <class Body>
void for_pieces(bool share, int64_t n, int64_t cost, Body body) {
  constexpr int64_t kWorthSharing = 1 << 18;
  const int64_t grain = std::max<int64_t>(1, kWorthSharing / std::max<int64_t>(1, cost));
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  };
  if (!share || n <= grain) return range(0, n);
  parallel_for(n, grain, range);
}

}  // namespace espalier::nn::detail
