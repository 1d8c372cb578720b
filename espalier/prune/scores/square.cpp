// SPDX-License-Identifier: Apache-2.0
/// Square: s = w^2. The sum over a filter is its squared L2 norm.
#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class SquareScore : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      scores.push_back(as_double(weight.parameter->value.value()));
      double* s = scores.back().data<double>();
      for (int64_t i = 0; i < scores.back().numel(); ++i) s[i] *= s[i];
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> square_score() {
  return std::make_unique<SquareScore>();
}

}  // namespace espalier::prune
