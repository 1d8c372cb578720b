// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/pooling.h>

#include <algorithm>
#include <cmath>

#include <espalier/core/allocation_log.h>
#include <espalier/core/kernels/batch_norm_runs.h>
#include <espalier/core/kernels/clones.h>
#include <espalier/core/kernels/vector8.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kGrain = 32768;  // input elements of one task

/// Planes of an (N,C,H,W) tensor as memory: `count` planes of `size` groups of `lanes` elements.
struct Planes {
  explicit Planes(const Tensor& t)
      : lanes(t.layout() == Layout::Nchw16n ? kLanes : 1),
        count((lanes == 1 ? t.size(0) : lane_blocks(t.size(0))) * t.size(1)),
        size(t.size(2) * t.size(3)),
        width(t.size(3)) {}
  int64_t lanes, count, size, width;
};

/// Calls body(plane) for all planes, in parallel.
template <class Body>
void for_planes(const Planes& p, Body body) {
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, p.size * p.lanes));
  parallel_for(p.count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

/// Calls body(output position, rows, columns) for all windows.
template <class Body>
ESPALIER_INLINE void for_windows(const PoolWindows& windows, Body body) {
  int64_t out = 0;
  for (const Window& rows : windows.rows) {
    for (const Window& cols : windows.cols) body(out++, rows, cols);
  }
}

template <class T>
void max_plane(const T* x, int64_t width, const PoolWindows& windows, T* y, int32_t* index) {
  for_windows(windows, [&](int64_t out, const Window& rows, const Window& cols) {
    auto where = static_cast<int32_t>(rows.begin * width + cols.begin);
    T best = x[where];
    for (int64_t h = rows.begin; h < rows.end; h += windows.row_step) {
      for (int64_t w = cols.begin; w < cols.end; w += windows.col_step) {
        const auto position = static_cast<int32_t>(h * width + w);
        if (!(x[position] > best || std::isnan(x[position]))) continue;
        best = x[position];
        where = position;
      }
    }
    y[out] = best;
    index[out] = where;
  });
}

template <class T>
void scatter_plane(const T* dy, const int32_t* index, const PoolWindows& windows, T* dx) {
  const auto outputs = static_cast<int64_t>(windows.rows.size() * windows.cols.size());
  for (int64_t out = 0; out < outputs; ++out) dx[index[out]] += dy[out];
}

/// The same for sixteen lanes, eight at a time: comparisons become masks of whole vectors.
template <class T>
ESPALIER_INLINE void max_plane_lanes(
    const T* x, int64_t width, const PoolWindows& windows, T* y, int32_t* index) {
  using V = Vector8<T>;
  using I = Vector8<int32_t>;
  for_windows(windows, [&](int64_t out, const Window& rows, const Window& cols) {
    const auto first = static_cast<int32_t>(rows.begin * width + cols.begin);
    for (int64_t half = 0; half < 2; ++half) {
      const V* v = reinterpret_cast<const V*>(x) + half;
      V best = v[first * 2];
      I where = I{} + first;
      for (int64_t h = rows.begin; h < rows.end; h += windows.row_step) {
        for (int64_t w = cols.begin; w < cols.end; w += windows.col_step) {
          const auto position = static_cast<int32_t>(h * width + w);
          const V value = v[position * 2];
          const auto better = (value > best) | (value != value);
          best = better ? value : best;
          where = __builtin_convertvector(better, I) ? I{} + position : where;
        }
      }
      reinterpret_cast<V*>(y)[out * 2 + half] = best;
      reinterpret_cast<I*>(index)[out * 2 + half] = where;
    }
  });
}

template <class T>
ESPALIER_INLINE void scatter_plane_lanes(
    const T* dy, const int32_t* index, int64_t width, const PoolWindows& windows, T* dx) {
  using V = Vector8<T>;
  using I = Vector8<int32_t>;
  for_windows(windows, [&](int64_t out, const Window& rows, const Window& cols) {
    for (int64_t half = 0; half < 2; ++half) {
      const V grad = reinterpret_cast<const V*>(dy)[out * 2 + half];
      const I where = reinterpret_cast<const I*>(index)[out * 2 + half];
      V* v = reinterpret_cast<V*>(dx) + half;
      for (int64_t h = rows.begin; h < rows.end; h += windows.row_step) {
        for (int64_t w = cols.begin; w < cols.end; w += windows.col_step) {
          const auto position = static_cast<int32_t>(h * width + w);
          const auto won = __builtin_convertvector(where == position, decltype(grad > grad));
          v[position * 2] += won ? grad : V{};
        }
      }
    }
  });
}

template <class T, int kL>
ESPALIER_INLINE void mean_plane(const T* x, int64_t width, const PoolWindows& windows, T* y) {
  for_windows(windows, [&](int64_t out, const Window& rows, const Window& cols) {
    T sum[kL] = {};
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      for (int64_t w = cols.begin; w < cols.end; ++w) {
        const T* v = x + (h * width + w) * kL;
        for (int l = 0; l < kL; ++l) sum[l] += v[l];
      }
    }
    const auto scale = static_cast<T>(PoolWindows::share(rows, cols));
    for (int l = 0; l < kL; ++l) y[out * kL + l] = sum[l] * scale;
  });
}

template <class T, int kL>
ESPALIER_INLINE void spread_plane(const T* dy, int64_t width, const PoolWindows& windows, T* dx) {
  for_windows(windows, [&](int64_t out, const Window& rows, const Window& cols) {
    const auto scale = static_cast<T>(PoolWindows::share(rows, cols));
    T part[kL];
    for (int l = 0; l < kL; ++l) part[l] = dy[out * kL + l] * scale;
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      for (int64_t w = cols.begin; w < cols.end; ++w) {
        T* v = dx + (h * width + w) * kL;
        for (int l = 0; l < kL; ++l) v[l] += part[l];
      }
    }
  });
}

// The cloned entry points for sixteen lanes; planes of single elements are compiled once.
#define ESPALIER_POOLING_KERNELS(T)                                                              \
  ESPALIER_CLONES void max_lanes(                                                                \
      const T* x, int64_t width, const PoolWindows& windows, T* y, int32_t* index) {             \
    max_plane_lanes<T>(x, width, windows, y, index);                                             \
  }                                                                                              \
  ESPALIER_CLONES void scatter_lanes(                                                            \
      const T* dy, const int32_t* index, int64_t width, const PoolWindows& windows, T* dx) {     \
    scatter_plane_lanes<T>(dy, index, width, windows, dx);                                       \
  }                                                                                              \
  ESPALIER_CLONES void mean_lanes(const T* x, int64_t width, const PoolWindows& windows, T* y) { \
    mean_plane<T, kLanes>(x, width, windows, y);                                                 \
  }                                                                                              \
  ESPALIER_CLONES void spread_lanes(                                                             \
      const T* dy, int64_t width, const PoolWindows& windows, T* dx) {                           \
    spread_plane<T, kLanes>(dy, width, windows, dx);                                             \
  }
ESPALIER_POOLING_KERNELS(float)
ESPALIER_POOLING_KERNELS(double)
#undef ESPALIER_POOLING_KERNELS

void check_planes(const Tensor& x, const PoolWindows& windows, const Tensor& y) {
  const Shape expected = x.shape()
                             .with(2, static_cast<int64_t>(windows.rows.size()))
                             .with(3, static_cast<int64_t>(windows.cols.size()));
  ESPALIER_CHECK(
      y.shape() == expected && y.layout() == x.layout() && x.is_contiguous() && y.is_contiguous(),
      ShapeError,
      "pooling: expects a contiguous output ",
      expected,
      " for input ",
      x,
      ", got ",
      y);
}

}  // namespace

std::vector<Window> sliding_windows(int64_t size, const Sliding& s) {
  const int64_t reach = (s.kernel - 1) * s.dilation + 1;
  const int64_t room = size + 2 * s.padding - reach;
  std::vector<Window> out;
  if (room < 0) return out;
  int64_t count = (room + (s.ceil ? s.stride - 1 : 0)) / s.stride + 1;
  if ((count - 1) * s.stride >= size + s.padding) --count;  // of padding alone
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = i * s.stride - s.padding;
    const int64_t skipped = first < 0 ? (-first + s.dilation - 1) / s.dilation : 0;
    const Window window{first + skipped * s.dilation, std::min(size, first + reach), 0};
    out.push_back(window);
    out.back().counted = s.counts_padding ? std::min(size + s.padding, first + reach) - first
                                          : window.end - window.begin;
  }
  return out;
}

std::vector<Window> adaptive_windows(int64_t size, int64_t count) {
  std::vector<Window> out;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = i * size / count;
    const int64_t end = ((i + 1) * size + count - 1) / count;
    out.push_back({begin, end, end - begin});
  }
  return out;
}

void max_pool_forward(const MappedTensor& x, const PoolWindows& windows, Tensor& y, Tensor& index) {
  const WorkspaceScope scope;  // of mapped planes
  check_planes(x.tensor, windows, y);
  const Planes in(x.tensor), out(y);
  const int64_t channels = x.tensor.size(1);
  dispatch_floating(x.tensor.dtype(), "max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.tensor.data<T>();
    T* py = y.data<T>();
    int32_t* pi = index.data<int32_t>();
    for_planes(in, [&](int64_t plane) {
      const T* from = px + plane * in.size * in.lanes;
      Tensor mapped;
      if (x.map != nullptr) {
        mapped = Tensor::empty({in.size * in.lanes}, x.tensor.dtype());
        detail::run_scale_shift(from,
                                nullptr,
                                in.size * in.lanes,
                                detail::coefficients_of(*x.map, plane % channels),
                                mapped.data<T>());
        from = mapped.data<T>();
      }
      const int64_t to = plane * out.size * out.lanes;
      if (in.lanes == kLanes) {
        max_lanes(from, in.width, windows, py + to, pi + to);
      } else {
        max_plane<T>(from, in.width, windows, py + to, pi + to);
      }
    });
  });
  if (x.map != nullptr) zero_padding_lanes(y);
}

void max_pool_scatter(const Tensor& dy,
                      const Tensor& index,
                      const PoolWindows& windows,
                      Tensor& dx) {
  check_planes(dx, windows, dy);
  const Planes in(dx), out(dy);
  dispatch_floating(dy.dtype(), "max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    const T* pg = dy.data<T>();
    const int32_t* pi = index.data<int32_t>();
    T* px = dx.data<T>();
    for_planes(in, [&](int64_t plane) {
      const int64_t from = plane * out.size * out.lanes;
      T* to = px + plane * in.size * in.lanes;
      std::fill_n(to, in.size * in.lanes, T{0});
      if (in.lanes == kLanes) {
        scatter_lanes(pg + from, pi + from, in.width, windows, to);
      } else {
        scatter_plane<T>(pg + from, pi + from, windows, to);
      }
    });
  });
}

void max_pool_select(const Tensor& x, const Tensor& index, Tensor& y) {
  const Planes in(x), out(y);
  dispatch_floating(x.dtype(), "max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    const int32_t* pi = index.data<int32_t>();
    T* py = y.data<T>();
    for_planes(in, [&](int64_t plane) {
      const T* from = px + plane * in.size * in.lanes;
      const int64_t to = plane * out.size * out.lanes;
      for (int64_t i = 0; i < out.size * out.lanes; ++i) {
        py[to + i] = from[pi[to + i] * in.lanes + i % in.lanes];
      }
    });
  });
}

void mean_pool_forward(const Tensor& x, const PoolWindows& windows, Tensor& y) {
  check_planes(x, windows, y);
  const Planes in(x), out(y);
  dispatch_floating(x.dtype(), "avg_pool2d", [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    T* py = y.data<T>();
    for_planes(in, [&](int64_t plane) {
      const T* from = px + plane * in.size * in.lanes;
      T* to = py + plane * out.size * out.lanes;
      if (in.lanes == kLanes) {
        mean_lanes(from, in.width, windows, to);
      } else {
        mean_plane<T, 1>(from, in.width, windows, to);
      }
    });
  });
}

void mean_pool_backward(const Tensor& dy, const PoolWindows& windows, Tensor& dx) {
  check_planes(dx, windows, dy);
  const Planes in(dx), out(dy);
  dispatch_floating(dy.dtype(), "avg_pool2d", [&](auto zero) {
    using T = decltype(zero);
    const T* pg = dy.data<T>();
    T* px = dx.data<T>();
    for_planes(in, [&](int64_t plane) {
      const T* from = pg + plane * out.size * out.lanes;
      T* to = px + plane * in.size * in.lanes;
      std::fill_n(to, in.size * in.lanes, T{0});
      if (in.lanes == kLanes) {
        spread_lanes(from, in.width, windows, to);
      } else {
        spread_plane<T, 1>(from, in.width, windows, to);
      }
    });
  });
}

}  // namespace espalier
