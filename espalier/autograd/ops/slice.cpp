// SPDX-License-Identifier: Apache-2.0
// slice: elements begin, begin+step, .. < end of a dimension.  The gradient is put back into zeros,
// which is a linear op of its own, whose gradient is the slice again.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {
namespace {

struct Range {
  int dim;
  int64_t begin, end, step;
};

/// Zeros of `shape` with `a` at the range.
Variable put_slice(const Variable& a, const Shape& shape, const Range& range) {
  const Tensor source = range.dim == 0 ? a.value().to(Layout::Nchw) : a.value();
  Tensor out = Tensor::zeros(shape, a.dtype(), source.layout());
  out.physical().slice(range.dim, range.begin, range.end, range.step).copy_(source.physical());
  return record(
      "put_slice", std::move(out), {a}, [range, from = a.layout()](const BackwardContext& ctx) {
        const Variable part = slice(ctx.grad, range.dim, range.begin, range.end, range.step);
        return std::vector<Variable>{to_layout(part, from)};
      });
}

std::vector<ElementSource> sliced(const OpAttributes& attributes,
                                  const std::vector<Shape>& inputs,
                                  const Shape& output) {
  const auto dim = static_cast<size_t>(attributes.integer("dim"));
  const int64_t begin = attributes.integer("begin");
  const int64_t step = attributes.integer("step");
  return by_place(inputs[0], output, [&](std::vector<int64_t> place) {
    place[dim] = begin + place[dim] * step;
    return place;
  });
}

}  // namespace

Variable slice(const Variable& a, int dim, int64_t begin, int64_t end, int64_t step) {
  const Range range{a.shape().wrap(dim, "slice"), begin, end, step};
  Tensor value = range.dim == 0 ? a.value().to(Layout::Nchw) : a.value();
  if (value.layout() == Layout::Nchw) {
    value = value.slice(range.dim, begin, end, step);
  } else {
    const Tensor part = value.physical().slice(range.dim, begin, end, step);
    const Shape shape = a.shape().with(range.dim, part.size(range.dim));
    Tensor out = Tensor::empty(shape, a.dtype(), Layout::Nchw16n);
    out.physical().copy_(part);
    value = out;
  }
  detail::describe_op([&] {
    return OpAttributes{
        {"dim", int64_t{range.dim}}, {"begin", begin}, {"end", end}, {"step", step}};
  });
  return record(
      "slice", std::move(value), {a}, [range, from = detail::meta(a)](const BackwardContext& ctx) {
        return std::vector<Variable>{
            to_layout(put_slice(ctx.grad, from.shape, range), from.layout)};
      });
}

OpInfo slice_op() {
  const auto cut = [](int dim, int64_t begin, int64_t end, int64_t step) {
    return [=](const std::vector<Variable>& in) { return slice(in[0], dim, begin, end, step); };
  };
  return {.name = "slice",
          .rule = OpRule::Movement,
          .attributes = {"dim", "begin", "end", "step"},
          .movement = sliced,
          .samples = {{"channels", {sample_tensor({17, 4, 2}, 1)}, cut(1, 1, 3, 1), {0}},
                      {"every second column", {sample_tensor({3, 2, 5}, 2)}, cut(-1, 0, 5, 2), {0}},
                      {"samples", {sample_tensor({18, 2}, 3)}, cut(0, 1, 17, 3), {0}},
                      {"nothing", {sample_tensor({2, 3}, 4)}, cut(1, 2, 2, 1), {0}},
                      {"of nothing", {sample_tensor({0, 3}, 5)}, cut(1, 1, 3, 1), {0}}}};
}

}  // namespace espalier
