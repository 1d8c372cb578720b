// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/penalties/manifold.h>

#include <algorithm>

#include <espalier/autograd/ops.h>

namespace espalier::prune {
namespace {

Variable cosines(const Variable& rows) {
  constexpr double kLeastSquare = 1e-24;  // of a row of zeros, whose norm has no derivative
  const Variable plain = to_layout(rows, Layout::Nchw);
  const Variable squares = sum(plain * plain, {1}, true);
  const Variable unit = plain / sqrt(squares + kLeastSquare);
  return matmul(unit, transpose(unit, 0, 1));
}

}  // namespace

Variable similarity_loss(const Variable& a, const Variable& b) {
  ESPALIER_CHECK(a.rank() == 2 && b.rank() == 2 && a.size(0) == b.size(0),
                 ShapeError,
                 "similarity: expects rows of the same samples, got ",
                 a.shape(),
                 " and ",
                 b.shape());
  const auto samples = static_cast<double>(a.size(0));
  return sum(pow(cosines(a) - cosines(b), 2.0)) * (1.0 / (samples * samples));
}

std::vector<double> ease_of_samples(std::span<const double> losses, double limit) {
  std::vector<double> out(losses.size(), 0.0);
  if (!(limit > 0.0)) return out;
  for (size_t i = 0; i < losses.size(); ++i) out[i] = std::max((limit - losses[i]) / limit, 0.0);
  return out;
}

}  // namespace espalier::prune
