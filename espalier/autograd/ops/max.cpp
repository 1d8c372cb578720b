// SPDX-License-Identifier: Apache-2.0
// max: the largest element.  d/da = 1 at its (first) place, else 0.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/extreme.h>

namespace espalier {

Variable max(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  return detail::extreme("max", detail::Extreme::Largest, a, dims, keepdim);
}

OpInfo max_op() {
  const auto over = [](std::vector<int> dims, bool keepdim) {
    return [=](const std::vector<Variable>& in) { return max(in[0], dims, keepdim); };
  };
  return {.name = "max",
          .rule = OpRule::Freezes,
          .samples = {{"all", {sample_tensor({17, 3, 2}, 1)}, over({}, false), {0}},
                      {"negative", {sample_tensor({17, 3}, 4, -2.0, -1.0)}, over({0}, false), {0}},
                      {"channels", {sample_tensor({17, 3, 2, 2}, 2)}, over({0, 2, 3}, true), {0}},
                      {"planes", {sample_tensor({17, 3, 2, 2}, 3)}, over({-1, -2}, false), {0}},
                      {"middle", {sample_tensor({2, 3, 4}, 5)}, over({1}, true), {0}},
                      {"no rows", {sample_tensor({0, 3}, 6)}, over({1}, false), {0}}}};
}

}  // namespace espalier
