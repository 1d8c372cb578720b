// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/softmax.h>

#include <algorithm>
#include <cmath>

#include <espalier/core/kernels/vector_math.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kColumns = 16;  // neighbours that are walked together
constexpr int64_t kGrain = 8192;  // elements of one task
constexpr int64_t kRow = 256;     // powers that are kept at a time

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

/// Powers of e of columns, as many rows at once as the buffer holds.
template <class T>
class ColumnPowers {
 public:
  explicit ColumnPowers(int64_t columns) : columns_(columns), rows_(kRow / columns) {}

  /// Calls row(i, e^f(i, 0), .., of all columns) for i = 0, 1, .., size - 1, in this order.
  template <class F, class Row>
  void each(int64_t size, F f, Row row) {
    for (int64_t first = 0; first < size; first += rows_) {
      const int64_t rows = std::min(rows_, size - first);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t c = 0; c < columns_; ++c) buffer_[i * columns_ + c] = f(first + i, c);
      }
      vector_exp(buffer_, buffer_, rows * columns_);
      for (int64_t i = 0; i < rows; ++i) row(first + i, buffer_ + i * columns_);
    }
  }

 private:
  int64_t columns_, rows_;
  T buffer_[kRow];
};

/// The largest of a row, and a sum in eight parts: fixed orders that the compiler vectorizes.
template <class T>
T largest_of(const T* x, int64_t n) {
  T part[16];
  for (int64_t j = 0; j < 16; ++j) part[j] = x[0];
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int64_t j = 0; j < 16; ++j) part[j] = part[j] < x[i + j] ? x[i + j] : part[j];
  }
  for (; i < n; ++i) part[0] = std::max(part[0], x[i]);
  return *std::max_element(part, part + 16);
}
double joined(const double (&part)[8]) {
  return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}
/// The sum of f(i), 0 <= i < n.
template <class F>
double sum_of(int64_t n, F f) {
  double part[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t j = 0; j < 8; ++j) part[j] += f(i + j);
  }
  for (; i < n; ++i) part[i % 8] += f(i);
  return joined(part);
}

/// As forward_columns, for one column of neighbours.
template <class T>
void forward_row(const T* x, T* y, int64_t size, SoftmaxKind kind) {
  const T highest = largest_of(x, size);
  for (int64_t i = 0; i < size; ++i) y[i] = x[i] - highest;
  if (kind == SoftmaxKind::Log) {
    double sum = 0.0;
    T powers[kRow];
    for (int64_t first = 0; first < size; first += kRow) {
      const int64_t count = std::min(kRow, size - first);
      vector_exp(y + first, powers, count);
      sum += sum_of(count, [&](int64_t i) { return static_cast<double>(powers[i]); });
    }
    const double log_sum = std::log(sum);
    for (int64_t i = 0; i < size; ++i) y[i] = static_cast<T>(static_cast<double>(y[i]) - log_sum);
    return;
  }
  vector_exp(y, y, size);
  const double scale = 1.0 / sum_of(size, [&](int64_t i) { return static_cast<double>(y[i]); });
  for (int64_t i = 0; i < size; ++i) y[i] = static_cast<T>(static_cast<double>(y[i]) * scale);
}

/// As backward_columns, for one column of neighbours.
template <class T>
void backward_row(const T* y, const T* dy, T* dx, int64_t size, SoftmaxKind kind) {
  if (kind == SoftmaxKind::Probability) {
    const auto total = static_cast<T>(sum_of(
        size, [&](int64_t i) { return static_cast<double>(dy[i]) * static_cast<double>(y[i]); }));
    for (int64_t i = 0; i < size; ++i) dx[i] = y[i] * (dy[i] - total);
    return;
  }
  const auto total =
      static_cast<T>(sum_of(size, [&](int64_t i) { return static_cast<double>(dy[i]); }));
  T powers[kRow];
  for (int64_t first = 0; first < size; first += kRow) {
    const int64_t count = std::min(kRow, size - first);
    vector_exp(y + first, powers, count);
    for (int64_t i = 0; i < count; ++i) dx[first + i] = dy[first + i] - powers[i] * total;
  }
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
  const auto shifted = [&](int64_t i, int64_t c) { return x[i * stride + c] - highest[c]; };
  ColumnPowers<T> powers(columns);
  if (kind == SoftmaxKind::Log) {
    powers.each(size, shifted, [&](int64_t, const T* e) {
      for (int64_t c = 0; c < columns; ++c) sum[c] += e[c];
    });
    for (int64_t c = 0; c < columns; ++c) sum[c] = std::log(sum[c]);
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t c = 0; c < columns; ++c) {
        y[i * stride + c] =
            static_cast<T>(static_cast<double>(x[i * stride + c] - highest[c]) - sum[c]);
      }
    }
    return;
  }
  powers.each(size, shifted, [&](int64_t i, const T* e) {
    for (int64_t c = 0; c < columns; ++c) {
      y[i * stride + c] = e[c];
      sum[c] += e[c];
    }
  });
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
  T totals[kColumns];
  for (int64_t c = 0; c < columns; ++c) totals[c] = static_cast<T>(sum[c]);
  if (kind == SoftmaxKind::Log) {
    ColumnPowers<T>(columns).each(
        size,
        [&](int64_t i, int64_t c) { return y[i * stride + c]; },
        [&](int64_t i, const T* e) {
          for (int64_t c = 0; c < columns; ++c) {
            const int64_t k = i * stride + c;
            dx[k] = dy[k] - e[c] * totals[c];
          }
        });
    return;
  }
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t k = i * stride + c;
      dx[k] = y[k] * (dy[k] - totals[c]);
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
      if (s.inner == 1) {
        forward_row<T>(px + first, py + first, s.size, kind);
      } else {
        forward_columns<T>(px + first, py + first, s.size, s.inner, columns, kind);
      }
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
      if (s.inner == 1) {
        backward_row<T>(py + first, pg + first, px + first, s.size, kind);
      } else {
        backward_columns<T>(py + first, pg + first, px + first, s.size, s.inner, columns, kind);
      }
    });
  });
}

}  // namespace espalier
