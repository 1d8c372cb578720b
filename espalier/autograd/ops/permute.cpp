// SPDX-License-Identifier: Apache-2.0
// permute, transpose: dimension i of the result is dimension order[i].  The gradient is permuted
// back.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {
namespace {

std::vector<ElementSource> permuted(const OpAttributes& attributes,
                                    const std::vector<Shape>& inputs,
                                    const Shape& output) {
  const std::vector<int64_t>& order = attributes.integers("order");
  std::vector<int64_t> from(order.size());
  return by_place(inputs[0], output, [&](const std::vector<int64_t>& place) {
    for (size_t d = 0; d < order.size(); ++d) from[static_cast<size_t>(order[d])] = place[d];
    return from;
  });
}

}  // namespace

Variable permute(const Variable& a, const std::vector<int>& order) {
  Tensor value = a.value().to(Layout::Nchw).permute(order);
  detail::describe_op([&] {
    std::vector<int64_t> dims;
    for (const int d : order) dims.push_back(a.shape().wrap(d, "permute"));
    return OpAttributes{{"order", dims}};
  });
  return record("permute",
                std::move(value),
                {a},
                [order, from = detail::meta(a)](const BackwardContext& ctx) {
                  std::vector<int> inverse(order.size());
                  for (size_t i = 0; i < order.size(); ++i) {
                    const int d = from.shape.wrap(order[i], "permute");
                    inverse[static_cast<size_t>(d)] = static_cast<int>(i);
                  }
                  return std::vector<Variable>{to_layout(permute(ctx.grad, inverse), from.layout)};
                });
}

Variable transpose(const Variable& a, int d0, int d1) {
  std::vector<int> order(static_cast<size_t>(a.rank()));
  for (int d = 0; d < a.rank(); ++d) order[static_cast<size_t>(d)] = d;
  std::swap(order[static_cast<size_t>(a.shape().wrap(d0, "transpose"))],
            order[static_cast<size_t>(a.shape().wrap(d1, "transpose"))]);
  return permute(a, order);
}

OpInfo permute_op() {
  const auto by = [](const std::vector<int>& order) {
    return [order](const std::vector<Variable>& in) { return permute(in[0], order); };
  };
  const auto swap = [](const std::vector<Variable>& in) { return transpose(in[0], 0, -1); };
  return {.name = "permute",
          .rule = OpRule::Movement,
          .attributes = {"order"},
          .movement = permuted,
          .samples = {{"cycle", {sample_tensor({2, 3, 4}, 1)}, by({2, 0, 1}), {0}},
                      {"negative", {sample_tensor({2, 3, 4}, 2)}, by({0, -1, 1}), {0}, true},
                      {"transpose", {sample_tensor({17, 3}, 3)}, swap, {0}},
                      {"empty", {sample_tensor({0, 3}, 4)}, by({1, 0}), {0}}}};
}

}  // namespace espalier
