// SPDX-License-Identifier: Apache-2.0
// to_layout: the same values in another layout.  The gradient returns to the layout it came from.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {

Variable to_layout(const Variable& a, Layout layout) {
  if (a.layout() == layout) return a;
  return record(
      "to_layout", a.value().to(layout), {a}, [from = a.layout()](const BackwardContext& ctx) {
        return std::vector<Variable>{to_layout(ctx.grad, from)};
      });
}

OpInfo to_layout_op() {
  const auto lanes = [](const std::vector<Variable>& in) {
    return to_layout(in[0], Layout::Nchw16n);
  };
  const auto plain = [](const std::vector<Variable>& in) { return to_layout(in[0], Layout::Nchw); };
  const auto reference = [](const OpSample& sample) {
    return sample.inputs[0].to_vector<double>();
  };
  return {.name = "to_layout",
          .rule = OpRule::Movement,
          .movement = in_order,
          .samples = {{"one block and one lane", {sample_tensor({17, 2, 3}, 1)}, lanes, {0}},
                      {"back to plain", {sample_tensor({5, 2, 3}, 2)}, plain, {0}, true},
                      {"rank 1", {sample_tensor({18}, 3)}, lanes, {0}},
                      {"empty", {sample_tensor({0, 3}, 4)}, lanes, {0}}},
          .reference = reference};
}

}  // namespace espalier
