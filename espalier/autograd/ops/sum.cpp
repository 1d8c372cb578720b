// SPDX-License-Identifier: Apache-2.0
// sum: out = sum of a over some dimensions.  d/da = 1: the gradient is repeated along them.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/kernels/reduce.h>

namespace espalier {

Variable sum(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  const std::vector<bool> over = detail::reduced_dims(a.shape(), dims, "sum");
  Tensor out = reduce_sum(a.value(), over, keepdim);
  detail::describe_op([&] {
    return OpAttributes{{"dims", detail::dims_of(over)}, {"keepdim", int64_t{keepdim}}};
  });
  return record("sum", std::move(out), {a}, [over, from = detail::meta(a)](const auto& ctx) {
    return std::vector<Variable>{detail::repeat_along(ctx.grad, over, from)};
  });
}

OpInfo sum_op() {
  const auto over = [](std::vector<int> dims, bool keepdim) {
    return [=](const std::vector<Variable>& in) { return sum(in[0], dims, keepdim); };
  };
  return {.name = "sum",
          .rule = OpRule::Reduction,
          .attributes = {"dims", "keepdim"},
          .samples = {{"all", {sample_tensor({17, 3, 2}, 1)}, over({}, false), {0}},
                      {"channels", {sample_tensor({17, 3, 2, 2}, 2)}, over({0, 2, 3}, true), {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 3)}, over({-1, -2}, false), {0}},
                      {"rows", {sample_tensor({3, 4}, 4)}, over({0}, false), {0}},
                      {"empty", {sample_tensor({0, 4}, 5)}, over({0}, false)}}};
}

}  // namespace espalier
