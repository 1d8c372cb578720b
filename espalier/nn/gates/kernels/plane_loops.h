// SPDX-License-Identifier: Apache-2.0
/// Loops over one plane that gates need in evaluation, and how they share them between threads. Not
/// a public interface.
#pragma once

#include <algorithm>
#include <cstdint>

#include <espalier/core/kernels/conv2d/planes_input.h>
#include <espalier/core/kernels/conv2d/planes_micro.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tensor.h>

namespace espalier::nn::detail {

/// The least multiple of a line of the cache that holds so many floats: where parts of a scratch
/// begin.
inline int64_t whole_lines(int64_t floats) {
  constexpr int64_t kLine = 16;
  return (floats + kLine - 1) / kLine * kLine;
}

/// The sum of |x|.
float sum_of_magnitudes(const float* x, int64_t size);

/// Orders channels by their saliencies: the largest first, of equal ones the first. A NaN counts as
/// largest, so that it is computed and seen; an order it has in any case, which sorting needs.
template <class T>
auto by_saliency(const T* g) {
  return [g](auto a, auto b) {
    const bool first_nan = g[a] != g[a];
    const bool second_nan = g[b] != g[b];
    if (first_nan != second_nan) return first_nan;
    return first_nan || g[a] == g[b] ? a < b : g[a] > g[b];
  };
}

/// y += scale * x.
void add_scaled(const float* x, float scale, int64_t size, float* y);

/// y = y * scale + shift, + residual (null: none), limited.
void finish_plane(float* y,
                  int64_t size,
                  float scale,
                  float shift,
                  const float* residual,
                  const espalier::detail::PlanesLimits& limits);

/// Floats that list_above may write behind its list.
inline constexpr int64_t kListSlack = 16;
/// Writes the indices i with y[i] >= least to `positions` (room for `size` + kListSlack); returns
/// how many.
int64_t list_above(const float* y, int64_t size, float least, int32_t* positions);

/// How a gated layer of a module runs its tasks: each(tasks, work, body), in parallel if `share`
/// says so and pieces are worth it. With more samples than one, each is a task already.
class ModuleTasks {
 public:
  explicit ModuleTasks(bool share) : share_(share) {}
  template <class Body>
  void operator()(int64_t tasks, int64_t work, Body body) const {
    constexpr int64_t kWorthSharing = 1 << 18;
    const int64_t cost = work / std::max<int64_t>(1, tasks);
    const int64_t grain = std::max<int64_t>(1, kWorthSharing / std::max<int64_t>(1, cost));
    const auto range = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i);
    };
    if (!share_ || tasks <= grain) return range(0, tasks);
    parallel_for(tasks, grain, range);
  }

 private:
  bool share_;
};

/// Calls body(n, x, scratch) for every sample n of plain `images` (N,C,H,W), in parallel: x has the
/// sample with kPlanesSlack floats around it, scratch `scratch_floats`, both its thread's own.
template <class Body>
void for_samples(const Tensor& images, int64_t scratch_floats, Body body) {
  using espalier::detail::kPlanesSlack;
  const int64_t size = images.numel() / images.size(0);
  parallel_for(images.size(0), 1, [&](int64_t begin, int64_t end) {
    Tensor copy = Tensor::zeros({size + 2 * kPlanesSlack});
    Tensor scratch = Tensor::empty({scratch_floats});
    float* x = copy.data<float>() + kPlanesSlack;
    for (int64_t n = begin; n < end; ++n) {
      std::copy_n(images.data<float>() + n * size, size, x);
      body(n, x, scratch.data<float>());
    }
  });
}

}  // namespace espalier::nn::detail
