// SPDX-License-Identifier: Apache-2.0
/// Magnitude: s = |w|. The sum over a filter is its L1 norm.
///
/// Source: Han et al., arXiv 1506.02626; Li et al., arXiv 1608.08710.
#include <cmath>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class MagnitudeScore : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      Tensor score = as_double(weight.parameter->value.value());
      double* s = score.data<double>();
      for (int64_t i = 0; i < score.numel(); ++i) s[i] = std::abs(s[i]);
      scores.push_back(score);
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> magnitude_score() {
  return std::make_unique<MagnitudeScore>();
}

}  // namespace espalier::prune
