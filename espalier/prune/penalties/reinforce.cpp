// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/penalties/reinforce.h>

#include <espalier/autograd/ops.h>

namespace espalier::prune {

Tensor returns_of(const Tensor& rewards, const Tensor& last) {
  ESPALIER_CHECK(rewards.rank() == 2 && last.shape() == Shape{rewards.size(0)},
                 ShapeError,
                 "returns_of: expects rewards (N,G) and last (N), got ",
                 rewards.shape(),
                 " and ",
                 last.shape());
  const int64_t decisions = rewards.size(1);
  const std::vector<double> each = rewards.to_vector<double>();
  const std::vector<double> end = last.to_vector<double>();
  Tensor out = Tensor::empty(rewards.shape(), DType::F64);
  for (size_t n = 0; n < end.size(); ++n) {
    double sum = end[n];
    for (int64_t i = decisions - 1; i >= 0; --i) {
      const int64_t at = static_cast<int64_t>(n) * decisions + i;
      sum += each[static_cast<size_t>(at)];
      out.data<double>()[at] = sum;
    }
  }
  return out;
}

Variable reinforce_loss(const Variable& p, const Tensor& open, const Tensor& returns) {
  ESPALIER_CHECK(p.shape() == open.shape() && p.shape() == returns.shape(),
                 ShapeError,
                 "reinforce_loss: expects three of one shape, got ",
                 p.shape(),
                 ", ",
                 open.shape(),
                 " and ",
                 returns.shape());
  // A product of one factor 1 and one 0: the logarithm of what was not drawn is never taken.
  const Variable drawn = p * Variable(open) + (1.0 - p) * (1.0 - Variable(open));
  return -sum(log(drawn) * Variable(returns.to(p.dtype())));
}

}  // namespace espalier::prune
