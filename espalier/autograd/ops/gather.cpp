// SPDX-License-Identifier: Apache-2.0
// gather: out[i][j].. = a[..][index[i][j]..][..] along a dimension.  scatter_add is its adjoint, so
// each is the other's gradient.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

/// A plain contiguous copy of `index`. Throws unless it fits a tensor of `shape` and names only
/// entries of dimension `dim`.
Tensor check_index(const Shape& shape, int dim, const Tensor& index, std::string_view op) {
  ESPALIER_CHECK(
      index.dtype() == DType::I64, TypeError, op, ": expects an int64 index, got ", index);
  ESPALIER_CHECK(index.rank() == shape.rank(),
                 ShapeError,
                 op,
                 ": expects an index of rank ",
                 shape.rank(),
                 " for shape ",
                 shape,
                 ", got ",
                 index.shape());
  for (int d = 0; d < shape.rank(); ++d) {
    ESPALIER_CHECK(d == dim || index.size(d) <= shape[d],
                   ShapeError,
                   op,
                   ": the index ",
                   index.shape(),
                   " is larger than ",
                   shape,
                   " in dimension ",
                   d);
  }
  const Tensor plain = index.to(Layout::Nchw).contiguous();
  const int64_t* p = plain.data<int64_t>();
  for (int64_t i = 0; i < plain.numel(); ++i) {
    ESPALIER_CHECK(p[i] >= 0 && p[i] < shape[dim],
                   ValueError,
                   op,
                   ": index[",
                   i,
                   "] (flat) is ",
                   p[i],
                   ", expected 0..",
                   shape[dim] - 1,
                   ", the entries of dimension ",
                   dim,
                   " of ",
                   shape);
  }
  return plain;
}

/// Calls body(element of the indexed tensor, element of the index) for the index's elements in
/// order; slices of the dimensions before `dim` are independent and run in parallel.
template <class Body>
void for_indexed(const Shape& shape, int dim, const Tensor& index, Body body) {
  const Shape strides = contiguous_strides(shape);
  const int64_t* where = index.data<int64_t>();
  int64_t outer = 1;
  for (int d = 0; d < dim; ++d) outer *= index.size(d);
  if (index.numel() == 0) return;
  const int64_t inner = index.numel() / outer;
  parallel_for(outer, std::max<int64_t>(1, 16384 / inner), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * inner; i < end * inner; ++i) {
      int64_t rest = i;
      int64_t element = where[i] * strides[dim];
      for (int d = index.rank() - 1; d >= 0; --d) {
        if (d != dim) element += rest % index.size(d) * strides[d];
        rest /= index.size(d);
      }
      body(element, i);
    }
  });
}

std::vector<ElementSource> gathered(const OpAttributes& attributes,
                                    const std::vector<Shape>& inputs,
                                    const Shape& output) {
  const auto dim = static_cast<size_t>(attributes.integer("dim"));
  const std::vector<int64_t>& index = attributes.integers("index");
  size_t next = 0;
  return by_place(inputs[0], output, [&](std::vector<int64_t> place) {
    place[dim] = index[next++];
    return place;
  });
}

}  // namespace

Variable gather(const Variable& a, int dim, const Tensor& index) {
  dim = a.shape().wrap(dim, "gather");
  const Tensor where = check_index(a.shape(), dim, index, "gather");
  const Tensor source = a.value().to(Layout::Nchw).contiguous();
  Tensor out = Tensor::empty(where.shape(), a.dtype());
  dispatch_floating(a.dtype(), "gather", [&](auto zero) {
    using T = decltype(zero);
    const T* from = source.data<T>();
    T* to = out.data<T>();
    for_indexed(a.shape(), dim, where, [=](int64_t element, int64_t i) { to[i] = from[element]; });
  });
  detail::describe_op([&] {
    return OpAttributes{{"dim", int64_t{dim}}, {"index", where.to_vector<int64_t>()}};
  });
  return record("gather",
                std::move(out),
                {a},
                [dim, where = Saved(where), from = detail::meta(a)](const BackwardContext& ctx) {
                  const Variable spread = scatter_add(ctx.grad, dim, where.value(), from.shape);
                  return std::vector<Variable>{to_layout(spread, from.layout)};
                });
}

Variable scatter_add(const Variable& a, int dim, const Tensor& index, const Shape& shape) {
  dim = shape.wrap(dim, "scatter_add");
  ESPALIER_CHECK(a.shape() == index.shape(),
                 ShapeError,
                 "scatter_add: expects values in the shape of the index ",
                 index.shape(),
                 ", got ",
                 a.shape());
  const Tensor where = check_index(shape, dim, index, "scatter_add");
  const Tensor source = a.value().to(Layout::Nchw).contiguous();
  Tensor out = Tensor::zeros(shape, a.dtype());
  dispatch_floating(a.dtype(), "scatter_add", [&](auto zero) {
    using T = decltype(zero);
    const T* from = source.data<T>();
    T* to = out.data<T>();
    for_indexed(shape, dim, where, [=](int64_t element, int64_t i) { to[element] += from[i]; });
  });
  return record(
      "scatter_add",
      std::move(out),
      {a},
      [dim, where = Saved(where), layout = a.layout()](const BackwardContext& ctx) {
        return std::vector<Variable>{to_layout(gather(ctx.grad, dim, where.value()), layout)};
      });
}

OpInfo gather_op() {
  const auto at = [](int dim, const Shape& shape, const std::vector<int64_t>& index) {
    const Tensor where = Tensor::from(shape, index);
    return [=](const std::vector<Variable>& in) { return gather(in[0], dim, where); };
  };
  return {.name = "gather",
          .rule = OpRule::Movement,
          .attributes = {"dim", "index"},
          .movement = gathered,
          .samples = {{"one each",
                       {sample_tensor({17, 4}, 1)},
                       at(1, {17, 1}, {2, 0, 2, 1, 1, 3, 0, 0, 2, 1, 3, 3, 0, 1, 2, 2, 1}),
                       {0},
                       true},
                      {"with repetitions",
                       {sample_tensor({2, 3}, 2)},
                       at(-1, {2, 4}, {0, 0, 2, 1, 1, 1, 1, 1}),
                       {0},
                       true},
                      {"fewer columns", {sample_tensor({3, 2}, 3)}, at(0, {2, 1}, {2, 2}), {0}},
                      {"nothing", {sample_tensor({3, 2}, 4)}, at(1, {3, 0}, {}), {0}, true},
                      {"no samples", {sample_tensor({0, 2}, 5)}, at(1, {0, 1}, {}), {0}, true}}};
}

OpInfo scatter_add_op() {
  const auto at =
      [](int dim, const Shape& index, const std::vector<int64_t>& values, const Shape& shape) {
        const Tensor where = Tensor::from(index, values);
        return
            [=](const std::vector<Variable>& in) { return scatter_add(in[0], dim, where, shape); };
      };
  return {
      .name = "scatter_add",
      .rule = OpRule::Freezes,
      .samples = {
          {"distinct", {sample_tensor({2, 2}, 1)}, at(1, {2, 2}, {0, 2, 1, 0}, {2, 3}), {0}, true},
          {"of a part of the lanes",
           {sample_tensor({17, 1}, 4)},
           at(0, {17, 1}, {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1}, {3, 1}),
           {0}},
          {"added up", {sample_tensor({3, 2}, 2)}, at(0, {3, 2}, {1, 0, 1, 0, 1, 1}, {2, 2}), {0}},
          {"nothing", {sample_tensor({0, 2}, 3)}, at(0, {0, 2}, {}, {2, 2}), {0}}}};
}

}  // namespace espalier
