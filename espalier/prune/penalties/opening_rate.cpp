// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/penalties/opening_rate.h>

#include <espalier/autograd/ops.h>

namespace espalier::prune {

Variable opening_rate_loss(const Variable& open, double target) {
  ESPALIER_CHECK(open.rank() == 2,
                 ShapeError,
                 "opening rates: expects what is open, (N,G), got ",
                 open.shape());
  return mean(pow(mean(open, {0}) + -target, 2.0));
}

}  // namespace espalier::prune
