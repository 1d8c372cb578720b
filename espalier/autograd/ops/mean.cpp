// SPDX-License-Identifier: Apache-2.0
// mean: sum / n, n = number of elements summed.  d/da = 1 / n.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {

Variable mean(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  const int64_t n = detail::count_over(a.shape(), detail::reduced_dims(a.shape(), dims, "mean"));
  return mul(sum(a, dims, keepdim), 1.0 / static_cast<double>(n));
}

OpInfo mean_op() {
  const auto over = [](std::vector<int> dims, bool keepdim) {
    return [=](const std::vector<Variable>& in) { return mean(in[0], dims, keepdim); };
  };
  return {.name = "mean",
          .rule = OpRule::Composed,
          .samples = {{"all", {sample_tensor({17, 3, 2}, 1)}, over({}, false), {0}},
                      {"channels", {sample_tensor({17, 3, 2, 2}, 2)}, over({0, 2, 3}, true), {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 3)}, over({-1, -2}, false), {0}},
                      {"no rows", {sample_tensor({3, 0}, 5)}, over({0}, false)}}};
}

}  // namespace espalier
