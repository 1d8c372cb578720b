// SPDX-License-Identifier: Apache-2.0
/// Wanda: s_ij = |w_ij| ||x_j||, x_j being all values that input j takes in the calibration data.
/// Of a convolution an input is one channel at one tap (a column of its unfolded patches).
///
/// Source: Sun, Liu, Bair, Kolter, arXiv 2306.11695, equation 1.
#include <cmath>

#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class WandaScore : public Score {
 public:
  explicit WandaScore(int64_t batches) : batches_(batches) {}

  ScoreNeeds needs() const override { return ScoreNeeds::Activations; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    // Per weight: sums of squares, (groups, columns).
    std::vector<std::vector<std::vector<double>>> squares(context.weights.size());
    const auto add = [&](size_t weight, int64_t group, const Tensor& x) {
      auto& groups = squares[weight];
      if (static_cast<int64_t>(groups.size()) <= group) groups.emplace_back();
      auto& sums = groups[static_cast<size_t>(group)];
      const int64_t columns = x.size(1);
      sums.resize(static_cast<size_t>(columns));
      const double* values = x.data<double>();
      parallel_for(columns, 16, [&](int64_t begin, int64_t end) {
        for (int64_t row = 0; row < x.size(0); ++row) {
          for (int64_t j = begin; j < end; ++j) {
            const double value = values[row * columns + j];
            sums[static_cast<size_t>(j)] += value * value;
          }
        }
      });
    };
    visit_layer_inputs(context.model,
                       context.weights,
                       calibration_batches(context.inputs),
                       calibration_count(context.inputs, batches_, context.notes),
                       add);
    std::vector<Tensor> scores;
    for (size_t w = 0; w < context.weights.size(); ++w) {
      const nn::Parameter& parameter = *context.weights[w].parameter;
      Tensor matrix = as_matrix(parameter.value.value());
      double* s = matrix.data<double>();
      const int64_t columns = matrix.size(1);
      const int64_t rows = matrix.size(0) / static_cast<int64_t>(squares[w].size());
      for (int64_t i = 0; i < matrix.size(0); ++i) {
        const auto& sums = squares[w][static_cast<size_t>(i / rows)];
        for (int64_t j = 0; j < columns; ++j) {
          s[i * columns + j] =
              std::abs(s[i * columns + j]) * std::sqrt(sums[static_cast<size_t>(j)]);
        }
      }
      scores.push_back(from_matrix(matrix, parameter.shape()));
    }
    return scores;
  }

 private:
  int64_t batches_;
};

}  // namespace

std::unique_ptr<Score> wanda_score(int64_t batches) {
  return std::make_unique<WandaScore>(batches);
}

}  // namespace espalier::prune
