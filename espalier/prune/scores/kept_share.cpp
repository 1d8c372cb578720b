// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class KeptShareScore : public Score {
 public:
  Reduce reduce() const override { return Reduce::Mean; }
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      Tensor score = as_double(weight.parameter->value.value());
      double* s = score.data<double>();
      for (int64_t i = 0; i < score.numel(); ++i) s[i] = s[i] != 0.0 ? 1.0 : 0.0;
      scores.push_back(score);
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> kept_share_score() {
  return std::make_unique<KeptShareScore>();
}

}  // namespace espalier::prune
