// SPDX-License-Identifier: Apache-2.0
// index_select: whole slices of a dimension in the order of an index.  index_add is its adjoint, so
// each is the other's gradient.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

/// A plain contiguous copy of `index`. Throws unless it is a list of entries 0..size-1.
Tensor check_index(int64_t size, const Tensor& index, std::string_view op) {
  ESPALIER_CHECK(index.dtype() == DType::I64 && index.rank() == 1,
                 TypeError,
                 op,
                 ": expects an int64 index of rank 1, got ",
                 index);
  const Tensor plain = index.to(Layout::Nchw).contiguous();
  const int64_t* p = plain.data<int64_t>();
  for (int64_t i = 0; i < plain.numel(); ++i) {
    ESPALIER_CHECK(p[i] >= 0 && p[i] < size,
                   ValueError,
                   op,
                   ": index[",
                   i,
                   "] is ",
                   p[i],
                   ", expected 0..",
                   size - 1);
  }
  return plain;
}

/// Memory of a contiguous tensor around one dimension: [outer][size][inner], lanes included in
/// inner.
struct Around {
  Around(const Tensor& t, int dim) {
    const Shape shape = t.physical().shape();
    for (int d = 0; d < shape.rank(); ++d) (d < dim ? outer : d == dim ? size : inner) *= shape[d];
  }
  int64_t outer = 1, size = 1, inner = 1;
};

constexpr int64_t kGrain = 16384;

int64_t grain_of(const Around& a) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, a.size * a.inner));
}

std::vector<ElementSource> selected(const OpAttributes& attributes,
                                    const std::vector<Shape>& inputs,
                                    const Shape& output) {
  const auto dim = static_cast<size_t>(attributes.integer("dim"));
  const std::vector<int64_t>& index = attributes.integers("index");
  return by_place(inputs[0], output, [&](std::vector<int64_t> place) {
    place[dim] = index[static_cast<size_t>(place[dim])];
    return place;
  });
}

}  // namespace

Variable index_select(const Variable& a, int dim, const Tensor& index) {
  dim = a.shape().wrap(dim, "index_select");
  const Tensor where = check_index(a.size(dim), index, "index_select");
  const Tensor source = (dim == 0 ? a.value().to(Layout::Nchw) : a.value()).contiguous();
  Tensor out = Tensor::empty(a.shape().with(dim, where.numel()), a.dtype(), source.layout());
  const Around in(source, dim), to(out, dim);
  dispatch_floating(a.dtype(), "index_select", [&](auto zero) {
    using T = decltype(zero);
    const T* from = source.data<T>();
    const int64_t* entry = where.data<int64_t>();
    T* p = out.data<T>();
    // One range of (outer, entry) pairs: a table lookup has a single outer slice.
    const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, to.inner));
    parallel_for(to.outer * to.size, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = i / to.size * in.size + entry[i % to.size];
        std::copy_n(from + row * in.inner, in.inner, p + i * in.inner);
      }
    });
  });
  detail::describe_op([&] {
    return OpAttributes{{"dim", int64_t{dim}}, {"index", where.to_vector<int64_t>()}};
  });
  return record("index_select",
                std::move(out),
                {a},
                [dim, where = Saved(where), from = detail::meta(a)](const BackwardContext& ctx) {
                  const Variable spread = index_add(ctx.grad, dim, where.value(), from.shape[dim]);
                  return std::vector<Variable>{to_layout(spread, from.layout)};
                });
}

Variable index_add(const Variable& a, int dim, const Tensor& index, int64_t size) {
  dim = a.shape().wrap(dim, "index_add");
  ESPALIER_CHECK(
      size >= 0, ValueError, "index_add: expects a size that is not negative, got ", size);
  const Tensor where = check_index(size, index, "index_add");
  ESPALIER_CHECK(where.numel() == a.size(dim),
                 ShapeError,
                 "index_add: expects an index for each of ",
                 a.size(dim),
                 " slices of dimension ",
                 dim,
                 ", got ",
                 where.numel());
  const Tensor source = (dim == 0 ? a.value().to(Layout::Nchw) : a.value()).contiguous();
  Tensor out = Tensor::zeros(a.shape().with(dim, size), a.dtype(), source.layout());
  const Around in(source, dim), to(out, dim);
  dispatch_floating(a.dtype(), "index_add", [&](auto zero) {
    using T = decltype(zero);
    const T* from = source.data<T>();
    const int64_t* entry = where.data<int64_t>();
    T* p = out.data<T>();
    // Repeated entries add up in the order of the index, whatever the threads: outer slices are
    // apart.
    parallel_for(in.outer, grain_of(in), [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        for (int64_t i = 0; i < in.size; ++i) {
          const T* row = from + (o * in.size + i) * in.inner;
          T* sum = p + (o * to.size + entry[i]) * in.inner;
          for (int64_t k = 0; k < in.inner; ++k) sum[k] += row[k];
        }
      }
    });
  });
  return record("index_add",
                std::move(out),
                {a},
                [dim, where = Saved(where), layout = a.layout()](const BackwardContext& ctx) {
                  const Variable part = index_select(ctx.grad, dim, where.value());
                  return std::vector<Variable>{to_layout(part, layout)};
                });
}

OpInfo index_select_op() {
  const auto at = [](int dim, const std::vector<int64_t>& index) {
    const Tensor where = Tensor::from({static_cast<int64_t>(index.size())}, index);
    return [=](const std::vector<Variable>& in) { return index_select(in[0], dim, where); };
  };
  return {.name = "index_select",
          .rule = OpRule::Movement,
          .attributes = {"dim", "index"},
          .movement = selected,
          .samples = {{"channels", {sample_tensor({17, 3, 2}, 1)}, at(1, {2, 0}), {0}},
                      {"with repetitions", {sample_tensor({2, 3}, 2)}, at(-1, {1, 1, 0, 1}), {0}},
                      {"samples", {sample_tensor({18, 2}, 3)}, at(0, {17, 0, 17}), {0}},
                      {"nothing", {sample_tensor({2, 3}, 4)}, at(1, {}), {0}},
                      {"no samples", {sample_tensor({0, 3}, 5)}, at(1, {2, 0}), {0}}}};
}

OpInfo index_add_op() {
  const auto at = [](int dim, const std::vector<int64_t>& index, int64_t size) {
    const Tensor where = Tensor::from({static_cast<int64_t>(index.size())}, index);
    return [=](const std::vector<Variable>& in) { return index_add(in[0], dim, where, size); };
  };
  return {.name = "index_add",
          .rule = OpRule::Freezes,
          .samples = {{"channels", {sample_tensor({17, 2, 2}, 1)}, at(1, {2, 0}, 3), {0}},
                      {"added up", {sample_tensor({4, 2}, 2)}, at(0, {1, 1, 0, 1}, 3), {0}},
                      {"nothing", {sample_tensor({2, 0}, 3)}, at(1, {}, 2), {0}}}};
}

}  // namespace espalier
