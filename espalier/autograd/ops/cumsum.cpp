// SPDX-License-Identifier: Apache-2.0
// cumsum: y_i = a_0 + .. + a_i along a dimension.  d/da_i is the sum of the gradients from i on:
// the same from the other end, each of the two the other's gradient.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

enum class From : uint8_t { Begin, End };

Variable scan(const Variable& a, int dim, From from) {
  const Tensor in = a.value().contiguous();
  Tensor out = Tensor::empty_like(in);
  // Lanes come last in memory, so a dimension behind the first keeps its number.
  const Shape shape = in.physical().shape();
  const int64_t size = shape[dim];
  int64_t inner = 1;
  for (int d = dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  dispatch_floating(in.dtype(), "cumsum", [&](auto zero) {
    using T = decltype(zero);
    const T* x = in.data<T>();
    T* y = out.data<T>();
    const int64_t rows = size == 0 ? 0 : shape.numel() / size;
    parallel_for(rows,
                 std::max<int64_t>(1, 16384 / std::max<int64_t>(1, size)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; ++row) {
                     const int64_t first = row / inner * size * inner + row % inner;
                     double sum = 0.0;
                     for (int64_t i = 0; i < size; ++i) {
                       const int64_t at = first + (from == From::Begin ? i : size - 1 - i) * inner;
                       sum += x[at];
                       y[at] = static_cast<T>(sum);
                     }
                   }
                 });
  });
  detail::describe_op([&] { return OpAttributes{{"dim", int64_t{dim}}}; });
  return record("cumsum",
                std::move(out),
                {a},
                [dim, back = from == From::Begin ? From::End : From::Begin, layout = a.layout()](
                    const BackwardContext& ctx) {
                  const Variable grad = scan(to_layout(ctx.grad, layout), dim, back);
                  return std::vector<Variable>{grad};
                });
}

}  // namespace

Variable cumsum(const Variable& a, int dim) {
  dim = a.shape().wrap(dim, "cumsum");
  if (dim > 0) return scan(a, dim, From::Begin);
  // Along the samples lanes are no rows: plain, and back.
  return scan(to_layout(a, Layout::Nchw), dim, From::Begin);
}

OpInfo cumsum_op() {
  const auto along = [](int dim) {
    return [dim](const std::vector<Variable>& in) { return cumsum(in[0], dim); };
  };
  return {.name = "cumsum",
          .rule = OpRule::Freezes,
          .attributes = {"dim"},
          .samples = {{"rows", {sample_tensor({17, 5}, 1)}, along(-1), {0}},
                      {"channels", {sample_tensor({17, 3, 2, 2}, 2)}, along(1), {0}},
                      {"samples", {sample_tensor({17, 3}, 3)}, along(0), {0}, true},
                      {"vector", {sample_tensor({4}, 4)}, along(0)},
                      {"no samples", {sample_tensor({0, 3}, 5)}, along(1), {0}},
                      {"nothing to sum", {sample_tensor({2, 0}, 6)}, along(1), {0}}}};
}

}  // namespace espalier
