// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

/// |w| in standard deviations of the weights that its layer still has; of units the mean.
class DeviationScore : public Score {
 public:
  Reduce reduce() const override { return Reduce::Mean; }
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores = magnitude_score()->compute(context);
    for (size_t w = 0; w < scores.size(); ++w) {
      const nn::Parameter& parameter = *context.weights[w].parameter;
      const double deviation = deviation_of(parameter);
      double* s = scores[w].data<double>();
      for (int64_t i = 0; i < scores[w].numel(); ++i) s[i] /= deviation > 0.0 ? deviation : 1.0;
    }
    return scores;
  }

 private:
  /// Of the population. Removed weights are zeros: they add to no sum but the count.
  static double deviation_of(const nn::Parameter& parameter) {
    const std::vector<double> values = parameter.value.value().to_vector<double>();
    const auto count = static_cast<double>(parameter.nnz());
    double mean = 0.0;
    double squares = 0.0;
    for (const double value : values) mean += value / count;
    for (const double value : values) squares += (value - mean) * (value - mean);
    squares -= (static_cast<double>(values.size()) - count) * mean * mean;
    return std::sqrt(std::max(0.0, squares) / count);
  }
};

}  // namespace

std::unique_ptr<Score> deviation_score() {
  return std::make_unique<DeviationScore>();
}

}  // namespace espalier::prune
