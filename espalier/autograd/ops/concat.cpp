// SPDX-License-Identifier: Apache-2.0
// concat: joins along a dimension.  Each part's gradient is its slice.
#include <algorithm>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {
namespace {

std::vector<ElementSource> joined(const OpAttributes& attributes,
                                  const std::vector<Shape>& inputs,
                                  const Shape& output) {
  const auto dim = static_cast<int>(attributes.integer("dim"));
  int64_t outer = 1;
  for (int d = 0; d < dim; ++d) outer *= output[d];
  std::vector<ElementSource> sources;
  for (int64_t o = 0; o < outer; ++o) {
    for (size_t part = 0; part < inputs.size(); ++part) {
      const int64_t run = inputs[part].numel() / std::max<int64_t>(outer, 1);
      for (int64_t i = 0; i < run; ++i) {
        sources.push_back({static_cast<int32_t>(part), o * run + i});
      }
    }
  }
  return sources;
}

}  // namespace

Variable concat(const std::vector<Variable>& parts, int dim) {
  ESPALIER_CHECK(!parts.empty(), ValueError, "concat: expects at least one part, got none");
  dim = parts[0].shape().wrap(dim, "concat");
  Shape shape = parts[0].shape().with(dim, 0);
  Layout layout = Layout::Nchw;
  for (const Variable& part : parts) {
    detail::check_same_dtype(parts[0], part, "concat");
    ESPALIER_CHECK(part.rank() == shape.rank() && part.shape().with(dim, 0) == shape.with(dim, 0),
                   ShapeError,
                   "concat: all sizes but that of dimension ",
                   dim,
                   " must agree, got ",
                   parts[0].shape(),
                   " and ",
                   part.shape());
    shape[dim] += part.size(dim);
    if (dim != 0 && part.layout() == Layout::Nchw16n) layout = Layout::Nchw16n;
  }
  Tensor out = Tensor::empty(shape, parts[0].dtype(), layout);
  std::vector<detail::Meta> from;
  int64_t begin = 0;
  for (const Variable& part : parts) {
    const int64_t end = begin + part.size(dim);
    out.physical().slice(dim, begin, end).copy_(part.value().to(layout).physical());
    from.push_back(detail::meta(part));
    begin = end;
  }
  detail::describe_op([&] { return OpAttributes{{"dim", int64_t{dim}}}; });
  return record(
      "concat", std::move(out), parts, [dim, from = std::move(from)](const BackwardContext& ctx) {
        std::vector<Variable> gradients(from.size());
        int64_t begin = 0;
        for (size_t i = 0; i < from.size(); ++i) {
          const int64_t end = begin + from[i].shape[dim];
          if (ctx.needs[i]) {
            gradients[i] = to_layout(slice(ctx.grad, dim, begin, end), from[i].layout);
          }
          begin = end;
        }
        return gradients;
      });
}

OpInfo concat_op() {
  const auto along = [](int dim) {
    return [dim](const std::vector<Variable>& in) { return concat(in, dim); };
  };
  return {
      .name = "concat",
      .rule = OpRule::Movement,
      .attributes = {"dim"},
      .movement = joined,
      .samples = {
          {"channels",
           {sample_tensor({17, 1, 2}, 1), sample_tensor({17, 3, 2}, 2)},
           along(1),
           {0, 1}},
          {"one of two is an activation",
           {sample_tensor({3, 2}, 3), sample_tensor({3, 1}, 4)},
           along(-1),
           {0}},
          {"samples", {sample_tensor({2, 3}, 5), sample_tensor({15, 3}, 6)}, along(0), {0, 1}},
          {"an empty part", {sample_tensor({2, 0}, 7), sample_tensor({2, 2}, 8)}, along(1), {0, 1}},
          {"one part", {sample_tensor({2, 2}, 9)}, along(1), {0}}}};
}

}  // namespace espalier
