// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <espalier/prune/scores/scale_free.h>
#include <espalier/prune/scores/score.h>

namespace espalier::prune {

std::vector<std::vector<double>> Score::score_units(const ScoreContext& context,
                                                    std::span<const Site> sites) {
  ScoreContext of_units = context;
  of_units.sites = &sites;
  const std::vector<Tensor> scores = compute(of_units);
  if (reduce() != Reduce::Max && context.notes != nullptr) {
    const ScaleFree found = scale_free_sites(sites, context.weights, scores);
    if (found) {
      context.notes->push_back(
          cat("the scores of the weights of each unit add up to zero in ",
              found.told(),
              ", so their order is that of rounding errors: the loss does not change when a unit "
              "is rescaled (batch norm behind it undoes that)"));
    }
  }
  return unit_scores(sites, context.weights, scores, reduce());
}

Tensor spread_over_filters(std::span<const double> filters, const Shape& weight) {
  Tensor result = Tensor::empty(weight, DType::F64);
  const auto inner = static_cast<size_t>(weight.numel()) / filters.size();
  double* out = result.data<double>();
  for (double value : filters) out = std::fill_n(out, inner, value);
  return result;
}

}  // namespace espalier::prune
