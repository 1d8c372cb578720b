// SPDX-License-Identifier: Apache-2.0
// argmax, argmin: where the largest and the smallest element stand; whole numbers, without a
// derivative.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/extreme.h>

namespace espalier {

Tensor argmax(const Variable& a, std::optional<int> dim, bool keepdim) {
  return detail::extreme_position("argmax", detail::Extreme::Largest, a, dim, keepdim);
}

Tensor argmin(const Variable& a, std::optional<int> dim, bool keepdim) {
  return detail::extreme_position("argmin", detail::Extreme::Smallest, a, dim, keepdim);
}

// What stands there is the maximum, which has a gradient.
OpInfo argmax_op() {
  const auto largest = [](int dim) {
    return [dim](const std::vector<Variable>& in) {
      return gather(in[0], dim, argmax(in[0], dim, true));
    };
  };
  const auto smallest = [](int dim) {
    return [dim](const std::vector<Variable>& in) {
      return gather(in[0], dim, argmin(in[0], dim, true));
    };
  };
  const auto of_all = [](const std::vector<Variable>& in) {
    const Variable flat = reshape(to_layout(in[0], Layout::Nchw), {-1});
    return index_select(flat, 0, argmax(in[0]).reshape({1}));
  };
  return {.name = "argmax",
          .rule = OpRule::Composed,
          .samples = {{"rows", {sample_tensor({17, 5}, 1)}, largest(-1), {0}, true},
                      {"channels", {sample_tensor({17, 3, 2}, 2)}, largest(1), {0}, true},
                      {"smallest", {sample_tensor({17, 3, 2}, 2)}, smallest(1), {0}, true},
                      {"samples", {sample_tensor({17, 3}, 3)}, smallest(0), {0}},
                      {"all", {sample_tensor({17, 3}, 4)}, of_all, {0}},
                      {"no rows", {sample_tensor({0, 3}, 5)}, largest(1), {0}, true}}};
}

}  // namespace espalier
