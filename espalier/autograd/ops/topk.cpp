// SPDX-License-Identifier: Apache-2.0
// topk: the k largest values along a dimension and where they stood.  The values are a gather at
// fixed positions, and so is their gradient.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

/// Positions of the k largest of `size` values, `stride` apart; NaN counts as larger than all.
template <class T>
void largest(
    const T* x, int64_t size, int64_t stride, int64_t k, int64_t* out, int64_t out_stride) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto before = [&](int64_t i, int64_t j) {
    const T a = x[i * stride], b = x[j * stride];
    if (std::isnan(a) != std::isnan(b)) return std::isnan(a);
    if (a != b && !std::isnan(a)) return a > b;
    return i < j;
  };
  std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
  for (int64_t i = 0; i < k; ++i) out[i * out_stride] = order[static_cast<size_t>(i)];
}

}  // namespace

TopK topk(const Variable& a, int64_t k, int dim) {
  dim = a.shape().wrap(dim, "topk");
  ESPALIER_CHECK(k >= 0 && k <= a.size(dim),
                 ValueError,
                 "topk: expects k in 0..",
                 a.size(dim),
                 ", the size of dimension ",
                 dim,
                 " of ",
                 a.shape(),
                 ", got ",
                 k);
  const Tensor x = a.value().to(Layout::Nchw).contiguous();
  Tensor indices = Tensor::empty(a.shape().with(dim, k), DType::I64);
  const int64_t size = a.size(dim);
  const int64_t stride = contiguous_strides(a.shape())[dim];
  dispatch_floating(a.dtype(), "topk", [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    int64_t* to = indices.data<int64_t>();
    const int64_t rows = size == 0 ? 0 : x.numel() / size;
    const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, size));
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t outer = row / stride, inner = row % stride;
        largest(from + outer * size * stride + inner,
                size,
                stride,
                k,
                to + outer * k * stride + inner,
                stride);
      }
    });
  });
  return {gather(a, dim, indices), indices};
}

OpInfo topk_op() {
  const auto take = [](int64_t k, int dim) {
    return [=](const std::vector<Variable>& in) { return topk(in[0], k, dim).values; };
  };
  return {.name = "topk",
          .rule = OpRule::Composed,
          .samples = {{"three of five", {sample_tensor({17, 5}, 1)}, take(3, -1), {0}, true},
                      {"channels of a plane", {sample_tensor({2, 3, 2}, 2)}, take(2, 1), {0}, true},
                      {"all", {sample_tensor({4}, 3)}, take(4, 0), {0}, true},
                      {"none", {sample_tensor({2, 3}, 4)}, take(0, 1), {0}, true},
                      {"no samples", {sample_tensor({0, 3}, 5)}, take(2, 1), {0}, true}}};
}

}  // namespace espalier
