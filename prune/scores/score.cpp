// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

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

Tensor spread_over_filters(std::span<const double> filters, const Shape& weight) {
  Tensor result = Tensor::empty(weight, DType::F64);
  const auto inner = static_cast<size_t>(weight.numel()) / filters.size();
  double* out = result.data<double>();
  for (double value : filters) out = std::fill_n(out, inner, value);
  return result;
}

}  // namespace espalier::prune
