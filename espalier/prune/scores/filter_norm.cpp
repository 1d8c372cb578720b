// SPDX-License-Identifier: Apache-2.0
/// Filter norm: s = ||F||_2 over a filter's inputs and taps.
///
/// Source: He, Kang, Dong, Fu, Yang, arXiv 1808.06866, equation 1 with p = 2.
#include <algorithm>
#include <cmath>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class FilterNormScore : public Score {
 public:
  Reduce reduce() const override { return Reduce::Max; }
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      const Tensor& value = weight.parameter->value.value();
      scores.push_back(spread_over_filters(filter_norms(value), value.shape()));
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> filter_norm_score() {
  return std::make_unique<FilterNormScore>();
}

std::vector<double> filter_norms(const Tensor& weight) {
  const std::vector<double> values = weight.to_vector<double>();
  std::vector<double> norms(static_cast<size_t>(weight.size(0)), 0.0);
  const size_t inner = values.size() / std::max<size_t>(norms.size(), 1);
  for (size_t i = 0; i < values.size(); ++i) norms[i / inner] += values[i] * values[i];
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

}  // namespace espalier::prune
