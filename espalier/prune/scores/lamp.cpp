// SPDX-License-Identifier: Apache-2.0
/// LAMP: s = w_u^2 / sum of the w_v^2 of the same layer that are at least as large.
///
/// Source: Lee, Park, Mo, Ahn, Shin, arXiv 2010.07611, equation 3. Sums grow from the largest
/// weight on, so that its score is exactly 1; as total less cumulative sum it would be rounded. Of
/// equal weights the lower index counts as the larger, as everywhere in selection.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class LampScore : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      scores.push_back(as_double(weight.parameter->value.value()));
      score(std::span(scores.back().data<double>(), static_cast<size_t>(scores.back().numel())));
    }
    return scores;
  }

 private:
  /// Weights to scores. Removed ones are zero: they come last and are in no other's sum.
  static void score(std::span<double> s) {
    for (double& value : s) value *= value;
    // Not a number can't be sorted; selection refuses it.
    if (std::ranges::any_of(s, [](double value) { return std::isnan(value); })) return;
    std::vector<size_t> order(s.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, [&](size_t a, size_t b) { return s[a] > s[b]; });
    double sum = 0.0;
    for (const size_t i : order) {
      sum += s[i];
      if (sum > 0.0) s[i] /= sum;
    }
  }
};

}  // namespace

std::unique_ptr<Score> lamp_score() {
  return std::make_unique<LampScore>();
}

}  // namespace espalier::prune
