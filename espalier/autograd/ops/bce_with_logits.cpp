// SPDX-License-Identifier: Apache-2.0
// bce_with_logits: -(t log s + (1-t) log(1-s)) with s = sigmoid(x).  As -log s = softplus(-x) and
// -log(1-s) = softplus(x), nothing overflows and small losses keep their digits.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>

namespace espalier {

Variable bce_with_logits(const Variable& logits, const Variable& target) {
  ESPALIER_CHECK(logits.shape() == target.shape(),
                 ShapeError,
                 "bce_with_logits: expects logits and targets of one shape, got ",
                 logits.shape(),
                 " and ",
                 target.shape());
  const Variable miss = neg(target) + 1.0;
  return mean(target * softplus(neg(logits)) + miss * softplus(logits));
}

OpInfo bce_with_logits_op() {
  const auto run = [](const std::vector<Variable>& in) { return bce_with_logits(in[0], in[1]); };
  return {.name = "bce_with_logits",
          .rule = OpRule::Composed,
          .samples = {
              {"batch",
               {sample_tensor({17, 2}, 1, -3, 3), sample_tensor({17, 2}, 2, 0, 1)},
               run,
               {0, 1}},
              {"vector", {sample_tensor({4}, 3, -3, 3), sample_tensor({4}, 4, 0, 1)}, run, {0}},
              {"no samples", {sample_tensor({0, 2}, 5), sample_tensor({0, 2}, 6)}, run, {0, 1}}}};
}

}  // namespace espalier
