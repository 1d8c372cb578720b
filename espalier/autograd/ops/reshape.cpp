// SPDX-License-Identifier: Apache-2.0
// reshape, flatten: the same elements in another shape.  The gradient takes the old shape again.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {
namespace {

/// Whether the first dimension of `from` survives in `to`, which may hold one -1.
bool keeps_batch(const Shape& from, const Shape& to) {
  if (from.rank() == 0 || to.rank() == 0) return false;
  if (to[0] != -1) return to[0] == from[0];
  int64_t rest = 1;
  for (int d = 1; d < to.rank(); ++d) rest *= to[d];
  return rest > 0 && from.numel() == rest * from[0];
}

}  // namespace

Variable reshape(const Variable& a, const Shape& shape) {
  const bool keeps = keeps_batch(a.shape(), shape);
  const Tensor value = keeps ? a.value() : a.value().to(Layout::Nchw);
  const Tensor out = value.reshape(shape);
  detail::describe_op([&] { return OpAttributes{{"shape", OpAttributes::list(out.shape())}}; });
  return record("reshape", out, {a}, [from = detail::meta(a)](const BackwardContext& ctx) {
    return std::vector<Variable>{to_layout(reshape(ctx.grad, from.shape), from.layout)};
  });
}

Variable flatten(const Variable& a) {
  ESPALIER_CHECK(a.rank() >= 1, ShapeError, "flatten: expects (N, ..), got a scalar");
  int64_t features = 1;
  for (int d = 1; d < a.rank(); ++d) features *= a.size(d);
  return reshape(a, {a.size(0), features});
}

OpInfo reshape_op() {
  const auto to = [](const Shape& shape) {
    return [shape](const std::vector<Variable>& in) { return reshape(in[0], shape); };
  };
  const auto flat = [](const std::vector<Variable>& in) { return flatten(in[0]); };
  return {.name = "reshape",
          .rule = OpRule::Movement,
          .attributes = {"shape"},
          .movement = in_order,
          .samples = {{"batch stays", {sample_tensor({17, 6, 2}, 1)}, to({17, 3, 4}), {0}},
                      {"inferred batch", {sample_tensor({3, 4}, 2)}, to({-1, 2, 2}), {0}},
                      {"batch is cut", {sample_tensor({4, 3}, 3)}, to({2, -1}), {0}},
                      {"to a scalar", {sample_tensor({1, 1}, 4)}, to({})},
                      {"flatten", {sample_tensor({18, 2, 3, 1}, 5)}, flat, {0}},
                      {"flatten nothing", {sample_tensor({0, 2, 3}, 6)}, flat, {0}}},
          .reference = [](const OpSample& s) { return s.inputs[0].to_vector<double>(); }};
}

}  // namespace espalier
