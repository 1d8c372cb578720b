// SPDX-License-Identifier: Apache-2.0
// maximum: the larger of a and b.  Where equal, each gets half of the gradient.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/extremum.h>

namespace espalier {

Variable maximum(const Variable& a, const Variable& b) {
  return detail::extremum("maximum", a, b, [](auto x, auto y) { return x > y; });
}

OpInfo maximum_op() {
  const auto run = [](const std::vector<Variable>& in) { return maximum(in[0], in[1]); };
  return {
      .name = "maximum",
      .rule = OpRule::Sum,
      .samples = {
          {"same shape", {sample_tensor({2, 3}, 1), sample_tensor({2, 3}, 2)}, run, {0, 1}},
          {"channels", {sample_tensor({17, 3, 2}, 1), sample_tensor({3, 1}, 2)}, run, {0}},
          {"channels first", {sample_tensor({3, 1}, 3), sample_tensor({17, 3, 2}, 4)}, run, {1}},
          {"both broadcast", {sample_tensor({2, 1}, 1), sample_tensor({1, 3}, 2)}, run},
          {"scalar", {sample_tensor({3}, 1), sample_tensor({}, 2)}, run, {0}},
          {"empty", {sample_tensor({0, 3}, 1), sample_tensor({3}, 2)}, run}}};
}

}  // namespace espalier
