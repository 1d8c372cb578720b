// SPDX-License-Identifier: Apache-2.0
// pad: entries of a constant around a tensor.  The gradient is the part inside.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {
namespace {

std::vector<ElementSource> padded(const OpAttributes& attributes,
                                  const std::vector<Shape>& inputs,
                                  const Shape& output) {
  const std::vector<int64_t>& before = attributes.integers("before");
  return by_place(inputs[0], output, [&](std::vector<int64_t> place) {
    for (size_t d = 0; d < place.size(); ++d) {
      place[d] -= before[d];
      if (place[d] >= inputs[0][static_cast<int>(d)]) place[d] = -1;
    }
    return place;
  });
}

}  // namespace

Variable pad(const Variable& a, const std::vector<PadAmount>& amounts, double value) {
  Shape shape = a.shape();
  Shape begin = shape;
  for (int d = 0; d < begin.rank(); ++d) begin[d] = 0;
  bool batch = false;
  for (const PadAmount& amount : amounts) {
    ESPALIER_CHECK(amount.before >= 0 && amount.after >= 0,
                   ShapeError,
                   "pad: amounts must not be negative, got ",
                   amount.before,
                   " and ",
                   amount.after,
                   ". Use slice to cut");
    const int d = shape.wrap(amount.dim, "pad");
    shape[d] += amount.before + amount.after;
    begin[d] += amount.before;
    batch = batch || (d == 0 && amount.before + amount.after > 0);
  }
  const Tensor source = batch ? a.value().to(Layout::Nchw) : a.value();
  Tensor out = Tensor::full(shape, value, a.dtype(), source.layout());
  Tensor inside = out.physical();
  for (int d = batch ? 0 : 1; d < shape.rank(); ++d) {
    inside = inside.slice(d, begin[d], begin[d] + a.size(d));
  }
  inside.copy_(source.physical());
  detail::describe_op([&] {
    std::vector<int64_t> after;
    for (int d = 0; d < shape.rank(); ++d) after.push_back(shape[d] - begin[d] - a.size(d));
    return OpAttributes{{"before", OpAttributes::list(begin)}, {"after", after}, {"value", value}};
  });
  return record(
      "pad", std::move(out), {a}, [begin, from = detail::meta(a)](const BackwardContext& ctx) {
        Variable part = ctx.grad;
        for (int d = 0; d < from.shape.rank(); ++d) {
          if (part.size(d) != from.shape[d]) {
            part = slice(part, d, begin[d], begin[d] + from.shape[d]);
          }
        }
        return std::vector<Variable>{to_layout(part, from.layout)};
      });
}

OpInfo pad_op() {
  const auto with = [](std::vector<PadAmount> amounts, double value) {
    return [=](const std::vector<Variable>& in) { return pad(in[0], amounts, value); };
  };
  return {.name = "pad",
          .rule = OpRule::Movement,
          .attributes = {"before", "after", "value"},
          .movement = padded,
          .samples = {
              {"a frame", {sample_tensor({17, 1, 2, 2}, 1)}, with({{2, 1, 1}, {3, 1, 1}}, 0), {0}},
              {"one side, a value", {sample_tensor({3, 2}, 2)}, with({{-1, 0, 2}}, 5.0), {0}},
              {"samples", {sample_tensor({2, 2}, 3)}, with({{0, 1, 2}}, 1.0), {0}},
              {"a dimension named twice",
               {sample_tensor({2, 2}, 4)},
               with({{1, 1, 0}, {1, 0, 1}}, 2.0),
               {0}},
              {"around nothing", {sample_tensor({2, 0}, 5)}, with({{1, 1, 1}}, 3.0), {0}},
              {"by nothing", {sample_tensor({2, 2}, 6)}, with({}, 3.0), {0}}}};
}

}  // namespace espalier
