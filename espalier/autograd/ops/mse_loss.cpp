// SPDX-License-Identifier: Apache-2.0
// mse_loss: (a - b)^2.  Made of ops that know their gradients.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>

namespace espalier {

Variable mse_loss(const Variable& a, const Variable& b, Reduction reduction) {
  ESPALIER_CHECK(a.shape() == b.shape(),
                 ShapeError,
                 "mse_loss: expects two tensors of one shape, got ",
                 a.shape(),
                 " and ",
                 b.shape());
  const Variable difference = a - b;
  const Variable square = difference * difference;
  if (reduction == Reduction::None) return square;
  return reduction == Reduction::Sum ? sum(square) : mean(square);
}

OpInfo mse_loss_op() {
  const auto with = [](Reduction reduction) {
    return
        [reduction](const std::vector<Variable>& in) { return mse_loss(in[0], in[1], reduction); };
  };
  return {
      .name = "mse_loss",
      .rule = OpRule::Composed,
      .samples = {
          {"mean",
           {sample_tensor({17, 2}, 1), sample_tensor({17, 2}, 2)},
           with(Reduction::Mean),
           {0, 1}},
          {"sum", {sample_tensor({2, 3}, 3), sample_tensor({2, 3}, 4)}, with(Reduction::Sum), {0}},
          {"each", {sample_tensor({3}, 5), sample_tensor({3}, 6)}, with(Reduction::None), {0, 1}},
          {"no samples",
           {sample_tensor({0, 3}, 7), sample_tensor({0, 3}, 8)},
           with(Reduction::Sum),
           {0, 1}}}};
}

}  // namespace espalier
