// SPDX-License-Identifier: Apache-2.0
// var: sum of (a - mean)^2 / (n - correction), n = number of elements; in two passes, for
// precision.
#include <algorithm>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {

Variable var(const Variable& a, const std::vector<int>& dims, int correction, bool keepdim) {
  const int64_t n = detail::count_over(a.shape(), detail::reduced_dims(a.shape(), dims, "var"));
  const Variable centred = sub(a, mean(a, dims, true));
  const auto divisor = static_cast<double>(std::max<int64_t>(0, n - correction));
  return mul(sum(mul(centred, centred), dims, keepdim), 1.0 / divisor);
}

OpInfo var_op() {
  const auto over = [](std::vector<int> dims, int correction, bool keepdim) {
    return [=](const std::vector<Variable>& in) { return var(in[0], dims, correction, keepdim); };
  };
  return {
      .name = "var",
      .rule = OpRule::Composed,
      .samples = {{"all", {sample_tensor({17, 3}, 1)}, over({}, 1, false), {0}},
                  {"channels", {sample_tensor({17, 2, 2, 1}, 2)}, over({0, 2, 3}, 0, true), {0}},
                  {"planes", {sample_tensor({17, 2, 2, 2}, 3)}, over({2, 3}, 1, false), {0}},
                  {"no columns", {sample_tensor({3, 0}, 5)}, over({0}, 0, false)}}};
}

}  // namespace espalier
