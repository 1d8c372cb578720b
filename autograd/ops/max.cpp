// SPDX-License-Identifier: Apache-2.0
// max: the largest element.  d/da = 1 at its (first) place, else 0.
#include <cmath>
#include <memory>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kGrain = 16384;

/// A column for each row of a matrix.
using Columns = std::shared_ptr<const std::vector<int64_t>>;

// A NaN counts as largest, so that it is not hidden.
Columns largest_columns(const Tensor& rows) {
  auto columns = std::make_shared<std::vector<int64_t>>(static_cast<size_t>(rows.size(0)));
  const int64_t n = rows.size(1);
  dispatch_floating(rows.dtype(), "max", [&](auto zero) {
    using T = decltype(zero);
    const T* x = rows.data<T>();
    parallel_for(rows.size(0), std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* row = x + r * n;
        int64_t best = 0;
        for (int64_t c = 1; c < n && !std::isnan(row[best]); ++c) {
          if (row[c] > row[best] || std::isnan(row[c])) best = c;
        }
        (*columns)[static_cast<size_t>(r)] = best;
      }
    });
  });
  return columns;
}

Variable put(const Variable& values, const Columns& columns, int64_t width);

/// (R,C) -> (R): element columns[r] of each row. Its gradient is put back there.
Variable take(const Variable& rows, const Columns& columns) {
  const Tensor in = rows.value().contiguous();
  const int64_t width = in.size(1);
  Tensor out = Tensor::empty({in.size(0)}, in.dtype());
  dispatch_floating(in.dtype(), "max", [&](auto zero) {
    using T = decltype(zero);
    const T* x = in.data<T>();
    T* y = out.data<T>();
    for (int64_t r = 0; r < in.size(0); ++r)
      y[r] = x[r * width + (*columns)[static_cast<size_t>(r)]];
  });
  return record("max", std::move(out), {rows}, [columns, width](const BackwardContext& ctx) {
    return std::vector<Variable>{put(ctx.grad, columns, width)};
  });
}

/// (R) -> (R,width): values at columns[r], zeros elsewhere. The adjoint of `take`.
Variable put(const Variable& values, const Columns& columns, int64_t width) {
  const Tensor in = values.value().contiguous();
  Tensor out = Tensor::zeros({in.size(0), width}, in.dtype());
  dispatch_floating(in.dtype(), "max", [&](auto zero) {
    using T = decltype(zero);
    const T* x = in.data<T>();
    T* y = out.data<T>();
    for (int64_t r = 0; r < in.size(0); ++r)
      y[r * width + (*columns)[static_cast<size_t>(r)]] = x[r];
  });
  return record("max_put", std::move(out), {values}, [columns](const BackwardContext& ctx) {
    return std::vector<Variable>{take(ctx.grad, columns)};
  });
}

}  // namespace

Variable max(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  const std::vector<bool> over = detail::reduced_dims(a.shape(), dims, "max");
  const int64_t n = detail::count_over(a.shape(), over);
  ESPALIER_CHECK(n > 0, ValueError, "max: no elements to choose from in ", a.value());

  // Kept dimensions first, reduced ones last: a matrix with a row for each result.
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
  const Variable rows = reshape(permute(plain, order), {shape.numel(), n});
  const Variable result = reshape(take(rows, largest_columns(rows.value().contiguous())), shape);
  const bool lanes = a.layout() == Layout::Nchw16n && !over[0];
  return lanes ? to_layout(result, Layout::Nchw16n) : result;
}

OpInfo max_op() {
  const auto over = [](std::vector<int> dims, bool keepdim) {
    return [=](const std::vector<Variable>& in) { return max(in[0], dims, keepdim); };
  };
  return {.name = "max",
          .samples = {{"all", {sample_tensor({17, 3, 2}, 1)}, over({}, false), {0}},
                      {"negative", {sample_tensor({17, 3}, 4, -2.0, -1.0)}, over({0}, false), {0}},
                      {"channels", {sample_tensor({17, 3, 2, 2}, 2)}, over({0, 2, 3}, true), {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 3)}, over({-1, -2}, false), {0}},
                      {"middle", {sample_tensor({2, 3, 4}, 5)}, over({1}, true), {0}},
                      {"no rows", {sample_tensor({0, 3}, 6)}, over({1}, false), {0}}}};
}

}  // namespace espalier
