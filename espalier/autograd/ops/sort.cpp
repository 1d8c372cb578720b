// SPDX-License-Identifier: Apache-2.0
// sort: the values along a dimension in order, and where they stood.  The values are a gather at
// fixed positions, and so is their gradient.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

/// The order of `size` values, `stride` apart; NaN counts as larger than all.
template <class T>
void order_of(const T* x, int64_t size, int64_t stride, bool descending, int64_t* out) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto smaller = [&](int64_t i, int64_t j) {
    const T a = x[i * stride], b = x[j * stride];
    return std::isnan(b) ? !std::isnan(a) : a < b;
  };
  if (descending) {
    std::ranges::stable_sort(order, [&](int64_t i, int64_t j) { return smaller(j, i); });
  } else {
    std::ranges::stable_sort(order, smaller);
  }
  for (int64_t i = 0; i < size; ++i) out[i * stride] = order[static_cast<size_t>(i)];
}

}  // namespace

Sorted sort(const Variable& a, int dim, bool descending) {
  dim = a.shape().wrap(dim, "sort");
  const Tensor x = a.value().to(Layout::Nchw).contiguous();
  Tensor indices = Tensor::empty(a.shape(), DType::I64);
  const int64_t size = a.size(dim);
  const int64_t stride = contiguous_strides(a.shape())[dim];
  dispatch_floating(a.dtype(), "sort", [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    int64_t* to = indices.data<int64_t>();
    const int64_t rows = size == 0 ? 0 : x.numel() / size;
    const int64_t grain = std::max<int64_t>(1, 2048 / std::max<int64_t>(1, size));
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t first = row / stride * size * stride + row % stride;
        order_of(from + first, size, stride, descending, to + first);
      }
    });
  });
  return {gather(a, dim, indices), indices};
}

OpInfo sort_op() {
  const auto along = [](int dim, bool descending) {
    return [=](const std::vector<Variable>& in) { return sort(in[0], dim, descending).values; };
  };
  return {.name = "sort",
          .rule = OpRule::Composed,
          .samples = {{"rows", {sample_tensor({17, 5}, 1)}, along(-1, false), {0}, true},
                      {"largest first", {sample_tensor({17, 5}, 1)}, along(-1, true), {0}, true},
                      {"channels", {sample_tensor({2, 3, 2}, 2)}, along(1, false), {0}, true},
                      {"samples", {sample_tensor({17, 2}, 3)}, along(0, true), {0}, true},
                      {"no samples", {sample_tensor({0, 3}, 4)}, along(1, false), {0}, true}}};
}

}  // namespace espalier
