// SPDX-License-Identifier: Apache-2.0
/// Connection sensitivity: s_j = |c_j| / sum |c_k| with c = dL/dm at m = 1 = w * dL/dw, of the mean
/// loss over one batch or several (the absolute value is taken after the mean).
///
/// Source: Lee, Ajanthan, Torr, arXiv 1810.02340, equations 5 and 6; under the mask of the round
/// before de Jorge et al., arXiv 2006.09081.
#include <cmath>

#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

class SnipScore : public Score {
 public:
  SnipScore(ScoringMode mode, int64_t batches) : mode_(mode), batches_(batches) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores = mean_gradient(context);
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
  std::vector<Tensor> mean_gradient(const ScoreContext& context) const {
    const int64_t all = context.inputs.single_batch ? 1 : context.inputs.batches;
    ESPALIER_CHECK(batches_ > 0 || all > 0,
                   ValueError,
                   "snip: asked for all batches of the data, but nobody tells how many there are. "
                   "Set PruneInputs::batches, or a number of batches");
    const int64_t count = batches_ > 0 && !context.inputs.single_batch ? batches_ : all;
    const int64_t first = context.inputs.single_batch ? 0 : context.update.number * count;
    std::vector<Tensor> mean;
    for (int64_t b = 0; b < count; ++b) {
      const std::vector<Tensor> one =
          dense_gradients(context, scoring_batch(context, first + b), mode_);
      if (mean.empty()) {
        for (const Tensor& gradient : one) {
          mean.push_back(Tensor::zeros(gradient.shape(), DType::F64));
        }
      }
      for (size_t w = 0; w < mean.size(); ++w) {
        double* sum = mean[w].data<double>();
        for (int64_t i = 0; i < mean[w].numel(); ++i) {
          sum[i] += one[w].data<double>()[i] / static_cast<double>(count);
        }
      }
    }
    return mean;
  }

  ScoringMode mode_;
  int64_t batches_;
};

}  // namespace

std::unique_ptr<Score> snip_score(ScoringMode mode, int64_t batches) {
  return std::make_unique<SnipScore>(mode, batches);
}

}  // namespace espalier::prune
