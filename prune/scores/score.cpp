// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/site.h>

namespace espalier::prune {

std::vector<std::vector<double>> Score::score_units(const ScoreContext& context,
                                                    std::span<const Site> sites) {
  return unit_scores(sites, context.weights, compute(context), reduce());
}

Tensor as_double(const Tensor& tensor) {
  Tensor copy = Tensor::empty(tensor.shape(), DType::F64);
  copy.copy_(tensor);
  return copy;
}

}  // namespace espalier::prune
