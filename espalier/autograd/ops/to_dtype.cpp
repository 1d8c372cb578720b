// SPDX-License-Identifier: Apache-2.0
// to_dtype: the same values in another floating element type.  The gradient is converted back.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {

Variable to_dtype(const Variable& a, DType dtype) {
  if (a.dtype() == dtype) return a;
  ESPALIER_CHECK(is_floating(dtype) && is_floating(a.dtype()),
                 TypeError,
                 "to_dtype: converts between float32 and float64, got ",
                 a.value(),
                 " to ",
                 name(dtype),
                 ". Use Tensor::to for integers");
  return record(
      "to_dtype", a.value().to(dtype), {a}, [from = a.dtype()](const BackwardContext& ctx) {
        return std::vector<Variable>{to_dtype(ctx.grad, from)};
      });
}

OpInfo to_dtype_op() {
  // A detour over float32 would round, which no central difference sees through; the conversion
  // itself is tested in shape_ops_test.cpp.
  const auto run = [](const std::vector<Variable>& in) { return to_dtype(in[0], in[0].dtype()); };
  return {.name = "to_dtype",
          .rule = OpRule::Movement,
          .movement = in_order,
          .samples = {{"same type", {sample_tensor({17, 3}, 1)}, run, {0}},
                      {"empty", {sample_tensor({0, 3}, 2)}, run, {0}}},
          .reference = [](const OpSample& s) { return s.inputs[0].to_vector<double>(); }};
}

}  // namespace espalier
