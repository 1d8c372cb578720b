// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/softmax.h>

#include <algorithm>
#include <cmath>

#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kColumns = 16;  // neighbours that are walked together
constexpr int64_t kGrain = 8192;  // elements of one task

/// Memory around one dimension: [outer][size][inner].
struct Split {
  int64_t outer = 1, size = 1, inner = 1;
};

Split split_at(const Tensor& t, int dim) {
  const Shape shape = t.physical().shape();
  Split s;
  for (int d = 0; d < shape.rank(); ++d) {
    (d < dim ? s.outer : d == dim ? s.size : s.inner) *= shape[d];
  }
  return s;
}

/// Calls body(first element, columns) for groups of up to 16 neighbouring columns.
template <class Body>
void for_columns(const Split& s, Body body) {
  const int64_t groups = (s.inner + kColumns - 1) / kColumns;
  const int64_t work = s.size * std::min(s.inner, kColumns);
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, work));
  if (s.size == 0) return;
  parallel_for(s.outer * groups, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t column = task % groups * kColumns;
      body(task / groups * s.size * s.inner + column, std::min(kColumns, s.inner - column));
    }
  });
}

template <class T>
void forward_columns(
    const T* x, T* y, int64_t size, int64_t stride, int64_t columns, SoftmaxKind kind) {
  T highest[kColumns];
  double sum[kColumns] = {};
  std::copy_n(x, columns, highest);
  for (int64_t i = 1; i < size; ++i) {
    for (int64_t c = 0; c < columns; ++c) highest[c] = std::max(highest[c], x[i * stride + c]);
  }
  if (kind == SoftmaxKind::Log) {
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t c = 0; c < columns; ++c) sum[c] += std::exp(x[i * stride + c] - highest[c]);
    }
    for (int64_t c = 0; c < columns; ++c) sum[c] = std::log(sum[c]);
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t c = 0; c < columns; ++c) {
        y[i * stride + c] =
            static_cast<T>(static_cast<double>(x[i * stride + c] - highest[c]) - sum[c]);
      }
    }
    return;
  }
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t c = 0; c < columns; ++c) {
      const T e = std::exp(x[i * stride + c] - highest[c]);
      y[i * stride + c] = e;
      sum[c] += e;
    }
  }
  for (int64_t c = 0; c < columns; ++c) sum[c] = 1.0 / sum[c];
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t c = 0; c < columns; ++c) {
      y[i * stride + c] = static_cast<T>(static_cast<double>(y[i * stride + c]) * sum[c]);
    }
  }
}

template <class T>
void backward_columns(const T* y,
                      const T* dy,
                      T* dx,
                      int64_t size,
                      int64_t stride,
                      int64_t columns,
                      SoftmaxKind kind) {
  double sum[kColumns] = {};
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t c = 0; c < columns; ++c) {
      const double g = dy[i * stride + c];
      sum[c] += kind == SoftmaxKind::Log ? g : g * static_cast<double>(y[i * stride + c]);
    }
  }
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t k = i * stride + c;
      const T total = static_cast<T>(sum[c]);
      dx[k] = kind == SoftmaxKind::Log ? dy[k] - std::exp(y[k]) * total : y[k] * (dy[k] - total);
    }
  }
}

}  // namespace

void softmax_forward(const Tensor& x, int dim, SoftmaxKind kind, Tensor& y) {
  const Split s = split_at(x, dim);
  dispatch_floating(x.dtype(), "softmax", [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    T* py = y.data<T>();
    for_columns(s, [&](int64_t first, int64_t columns) {
      forward_columns<T>(px + first, py + first, s.size, s.inner, columns, kind);
    });
  });
  zero_padding_lanes(y);
}

void softmax_backward(const Tensor& y, const Tensor& dy, int dim, SoftmaxKind kind, Tensor& dx) {
  const Split s = split_at(y, dim);
  dispatch_floating(y.dtype(), "softmax", [&](auto zero) {
    using T = decltype(zero);
    const T* py = y.data<T>();
    const T* pg = dy.data<T>();
    T* px = dx.data<T>();
    for_columns(s, [&](int64_t first, int64_t columns) {
      backward_columns<T>(py + first, pg + first, px + first, s.size, s.inner, columns, kind);
    });
  });
}

}  // namespace espalier
