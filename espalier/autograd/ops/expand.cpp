// SPDX-License-Identifier: Apache-2.0
// expand: repeats dimensions of size 1.  The gradient is summed over the repetitions.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/loops.h>

namespace espalier {
namespace {

std::vector<ElementSource> expanded(const OpAttributes&,
                                    const std::vector<Shape>& inputs,
                                    const Shape& output) {
  std::vector<ElementSource> sources;
  for (const int64_t element : broadcast_index(output, inputs[0])) sources.push_back({0, element});
  return sources;
}

}  // namespace

Variable expand(const Variable& a, const Shape& shape) {
  const bool keeps =
      a.layout() == Layout::Nchw16n && a.rank() == shape.rank() && a.size(0) == shape[0];
  Tensor value;
  if (keeps) {
    value = Tensor::empty(shape, a.dtype(), Layout::Nchw16n);
    dispatch(a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      map_into<T, T>(value, a.value(), [](T x) { return x; });
    });
  } else {
    value = a.value().to(Layout::Nchw).expand(shape);
  }
  detail::describe_op([&] { return OpAttributes{{"shape", OpAttributes::list(shape)}}; });
  return record(
      "expand", std::move(value), {a}, [from = detail::meta(a)](const BackwardContext& ctx) {
        return std::vector<Variable>{sum_to(ctx.grad, from.shape, from.layout)};
      });
}

OpInfo expand_op() {
  const auto to = [](const Shape& shape) {
    return [shape](const std::vector<Variable>& in) { return expand(in[0], shape); };
  };
  return {.name = "expand",
          .rule = OpRule::Movement,
          .attributes = {"shape"},
          .movement = expanded,
          .samples = {{"channels", {sample_tensor({17, 1, 2}, 1)}, to({17, 3, 2}), {0}},
                      {"new dimensions", {sample_tensor({2, 1}, 2)}, to({3, 2, 2}), {0}},
                      {"samples", {sample_tensor({1, 3}, 3)}, to({4, 3}), {0}},
                      {"a scalar", {sample_tensor({}, 4)}, to({2, 2})},
                      {"to nothing", {sample_tensor({2, 1}, 5)}, to({2, 0}), {0}},
                      {"no samples", {sample_tensor({0, 1}, 6)}, to({0, 3}), {0}}}};
}

}  // namespace espalier
