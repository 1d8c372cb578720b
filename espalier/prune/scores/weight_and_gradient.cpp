// SPDX-License-Identifier: Apache-2.0
/// Weight and gradient: s = |w| + lambda |dL/dw|. A small weight that the loss wants larger stays.
///
/// Source: Yuan, Ma, Niu, ..., Wang, Lin, arXiv 2110.14032, and its published code.
#include <cmath>

#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

class WeightAndGradientScore : public Score {
 public:
  WeightAndGradientScore(double lambda, ScoringMode mode) : lambda_(lambda), mode_(mode) {}
  ScoreNeeds needs() const override {
    return lambda_ > 0.0 ? ScoreNeeds::Gradients : ScoreNeeds::Weights;
  }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores = gradients(context);
    for (size_t w = 0; w < scores.size(); ++w) {
      const Tensor weight = as_double(context.weights[w].parameter->value.value());
      double* s = scores[w].data<double>();
      for (int64_t i = 0; i < weight.numel(); ++i) {
        s[i] = std::abs(weight.data<double>()[i]) + lambda_ * std::abs(s[i]);
      }
    }
    return scores;
  }

 private:
  /// Of the weights that are there, which a sparse training has anyway.
  std::vector<Tensor> gradients(const ScoreContext& context) const {
    if (lambda_ > 0.0) {
      constexpr int64_t kUnknown = 1000;
      const int64_t known = context.inputs.batches > 0 ? context.inputs.batches : kUnknown;
      Rng draw = context.rng.fork(stream_id("batch"));
      const auto index = static_cast<int64_t>(draw.below(static_cast<uint64_t>(known)));
      return Landscape(context.model, context.weights, context.inputs, {.mode = mode_})
          .gradient(scoring_batch(context, index));
    }
    std::vector<Tensor> none;
    for (const nn::NamedParameter& weight : context.weights) {
      none.push_back(Tensor::zeros(weight.parameter->shape(), DType::F64));
    }
    return none;
  }

  double lambda_;
  ScoringMode mode_;
};

}  // namespace

std::unique_ptr<Score> weight_and_gradient_score(double lambda, ScoringMode mode) {
  return std::make_unique<WeightAndGradientScore>(lambda, mode);
}

}  // namespace espalier::prune
