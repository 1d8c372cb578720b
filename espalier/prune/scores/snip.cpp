// SPDX-License-Identifier: Apache-2.0
/// Connection sensitivity: s_j = |c_j| / sum |c_k| with c = dL/dm at m = 1 = w * dL/dw, of the mean
/// loss over one batch (the absolute value is taken after the batch's mean).
///
/// Source: Lee, Ajanthan, Torr, arXiv 1810.02340, equations 5 and 6.
#include <cmath>

#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

class SnipScore : public Score {
 public:
  explicit SnipScore(ScoringMode mode) : mode_(mode) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores = dense_gradients(context, scoring_batch(context, 0), mode_);
    double sum = 0.0;
    for (size_t w = 0; w < scores.size(); ++w) {
      const Tensor weight = as_double(context.weights[w].parameter->value.value());
      double* s = scores[w].data<double>();
      for (int64_t i = 0; i < weight.numel(); ++i) {
        s[i] = std::abs(s[i] * weight.data<double>()[i]);
        sum += s[i];
      }
    }
    ESPALIER_CHECK(sum > 0.0,
                   ValueError,
                   "snip: the loss does not depend on any weight; is the model collapsed?");
    for (Tensor& score : scores) {
      double* s = score.data<double>();
      for (int64_t i = 0; i < score.numel(); ++i) s[i] /= sum;
    }
    return scores;
  }

 private:
  ScoringMode mode_;
};

}  // namespace

std::unique_ptr<Score> snip_score(ScoringMode mode) {
  return std::make_unique<SnipScore>(mode);
}

}  // namespace espalier::prune
