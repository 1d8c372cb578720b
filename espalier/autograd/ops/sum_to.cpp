// SPDX-License-Identifier: Apache-2.0
// sum_to: the backward of broadcasting.  out = a summed over the dimensions along which `shape` was
// repeated; its own gradient repeats again.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/kernels/reduce.h>

namespace espalier {

Variable sum_to(const Variable& a, const Shape& shape, Layout layout) {
  if (a.shape() == shape) return a.layout() == layout ? a : to_layout(a, layout);
  ESPALIER_CHECK(broadcast_shapes(shape, a.shape(), "sum_to") == a.shape(),
                 ShapeError,
                 "sum_to: ",
                 shape,
                 " does not broadcast to ",
                 a.shape());
  const int added = a.rank() - shape.rank();
  std::vector<bool> over;
  for (int d = 0; d < a.rank(); ++d) {
    over.push_back(d < added || (shape[d - added] == 1 && a.shape()[d] != 1));
  }
  Tensor out = reduce_sum(a.value(), over, true);
  out = out.to(Layout::Nchw).reshape(shape).to(layout);
  return record("sum_to", std::move(out), {a}, [from = detail::meta(a)](const auto& ctx) {
    return std::vector<Variable>{to_layout(expand(ctx.grad, from.shape), from.layout)};
  });
}

OpInfo sum_to_op() {
  const auto to = [](const Shape& shape) {
    return [=](const std::vector<Variable>& in) { return sum_to(in[0], shape, Layout::Nchw); };
  };
  return {.name = "sum_to",
          .rule = OpRule::Freezes,
          .samples = {{"channels", {sample_tensor({17, 3, 2}, 1)}, to({3, 1}), {0}},
                      {"scalar", {sample_tensor({17, 3}, 2)}, to({}), {0}},
                      {"rows", {sample_tensor({3, 4}, 3)}, to({1, 4}), {0}},
                      {"nothing", {sample_tensor({3, 4}, 4)}, to({3, 4})},
                      {"no rows", {sample_tensor({0, 4}, 5)}, to({1, 4}), {0}}}};
}

}  // namespace espalier
