// SPDX-License-Identifier: Apache-2.0
// The extreme element of a reduction: where it stands, its value and the gradient that goes there.
#include <espalier/autograd/ops/extreme.h>

#include <cmath>
#include <memory>

#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

constexpr int64_t kGrain = 16384;

/// A column for each row of a matrix.
using Columns = std::shared_ptr<const std::vector<int64_t>>;

/// The first column of each row that `better(candidate, best)` prefers to all others.
template <class T, class Better>
void best_columns(const Tensor& rows, std::vector<int64_t>& columns, Better better) {
  const int64_t n = rows.size(1);
  const T* x = rows.data<T>();
  parallel_for(rows.size(0), std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * n;
      int64_t best = 0;
      for (int64_t c = 1; c < n && !std::isnan(row[best]); ++c) {
        if (better(row[c], row[best]) || std::isnan(row[c])) best = c;
      }
      columns[static_cast<size_t>(r)] = best;
    }
  });
}

Columns columns_of(const char* op, Extreme which, const Tensor& rows) {
  auto columns = std::make_shared<std::vector<int64_t>>(static_cast<size_t>(rows.size(0)));
  dispatch_floating(rows.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    if (which == Extreme::Largest) {
      best_columns<T>(rows, *columns, [](T a, T b) { return a > b; });
    } else {
      best_columns<T>(rows, *columns, [](T a, T b) { return a < b; });
    }
  });
  return columns;
}

Variable put(const char* op, const Variable& values, const Columns& columns, int64_t width);

/// (R,C) -> (R): element columns[r] of each row. Its gradient is put back there.
Variable take(const char* op, const Variable& rows, const Columns& columns) {
  const Tensor in = rows.value().contiguous();
  const int64_t width = in.size(1);
  Tensor out = Tensor::empty({in.size(0)}, in.dtype());
  dispatch_floating(in.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    const T* x = in.data<T>();
    T* y = out.data<T>();
    for (int64_t r = 0; r < in.size(0); ++r)
      y[r] = x[r * width + (*columns)[static_cast<size_t>(r)]];
  });
  return record(op, std::move(out), {rows}, [op, columns, width](const BackwardContext& ctx) {
    return std::vector<Variable>{put(op, ctx.grad, columns, width)};
  });
}

/// (R) -> (R,width): values at columns[r], zeros elsewhere. The adjoint of `take`.
Variable put(const char* op, const Variable& values, const Columns& columns, int64_t width) {
  const Tensor in = values.value().contiguous();
  Tensor out = Tensor::zeros({in.size(0), width}, in.dtype());
  dispatch_floating(in.dtype(), op, [&](auto zero) {
    using T = decltype(zero);
    const T* x = in.data<T>();
    T* y = out.data<T>();
    for (int64_t r = 0; r < in.size(0); ++r)
      y[r * width + (*columns)[static_cast<size_t>(r)]] = x[r];
  });
  return record("extreme_put", std::move(out), {values}, [op, columns](const BackwardContext& ctx) {
    return std::vector<Variable>{take(op, ctx.grad, columns)};
  });
}

/// Kept dimensions first, reduced ones last: a matrix with a row for each result of `shape`.
struct Rows {
  Shape shape;
  Variable matrix;
};
Rows rows_of(const char* op, const Variable& a, const std::vector<bool>& over, bool keepdim) {
  const int64_t n = count_over(a.shape(), over);
  ESPALIER_CHECK(n > 0, ValueError, op, ": no elements to choose from in ", a.value());
  std::vector<int> order;
  std::vector<int> reduced;
  Shape shape;
  for (int d = 0; d < a.rank(); ++d) {
    const bool reduce = over[static_cast<size_t>(d)];
    (reduce ? reduced : order).push_back(d);
    if (!reduce) shape.push_back(a.size(d));
    if (reduce && keepdim) shape.push_back(1);
  }
  order.insert(order.end(), reduced.begin(), reduced.end());
  const Variable plain = to_layout(a, Layout::Nchw);
  return {shape, reshape(permute(plain, order), {shape.numel(), n})};
}

}  // namespace

Variable extreme(
    const char* op, Extreme which, const Variable& a, const std::vector<int>& dims, bool keepdim) {
  const std::vector<bool> over = reduced_dims(a.shape(), dims, op);
  const Rows rows = rows_of(op, a, over, keepdim);
  const Columns columns = columns_of(op, which, rows.matrix.value().contiguous());
  const Variable result = reshape(take(op, rows.matrix, columns), rows.shape);
  const bool lanes = a.layout() == Layout::Nchw16n && !over[0];
  return lanes ? to_layout(result, Layout::Nchw16n) : result;
}

Tensor extreme_position(
    const char* op, Extreme which, const Variable& a, std::optional<int> dim, bool keepdim) {
  const NoGrad no_grad;
  const std::vector<int> dims = dim ? std::vector<int>{*dim} : std::vector<int>{};
  const Rows rows = rows_of(op, a, reduced_dims(a.shape(), dims, op), keepdim);
  return Tensor::from(rows.shape, *columns_of(op, which, rows.matrix.value().contiguous()));
}

}  // namespace espalier::detail
