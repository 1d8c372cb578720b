// SPDX-License-Identifier: Apache-2.0
// bmm's samples; the op shares its file with matmul, of which it is the batched form.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>

namespace espalier {

OpInfo bmm_op() {
  const auto run = [](const std::vector<Variable>& in) { return bmm(in[0], in[1]); };
  const auto scores = [](const std::vector<Variable>& in) {
    return bmm(in[0], transpose(in[1], -1, -2));
  };
  return {
      .name = "bmm",
      .rule = OpRule::Freezes,
      .samples = {
          {"one batch dimension", {sample_tensor({3, 2, 4}, 1), sample_tensor({3, 4, 2}, 2)}, run},
          {"attention scores",
           {sample_tensor({2, 2, 3, 4}, 3), sample_tensor({2, 2, 3, 4}, 4)},
           scores},
          {"broadcast batches", {sample_tensor({2, 1, 2, 3}, 5), sample_tensor({3, 3, 2}, 6)}, run},
          {"one matrix for all", {sample_tensor({2, 2, 3}, 7), sample_tensor({3, 2}, 8)}, run},
          {"no batches", {sample_tensor({0, 2, 3}, 9), sample_tensor({0, 3, 2}, 10)}, run}}};
}

}  // namespace espalier
