// SPDX-License-Identifier: Apache-2.0
/// Random scores: the baseline that every method must beat.
#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class RandomScore : public Score {
 public:
  Reduce reduce() const override { return Reduce::Mean; }
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      // A generator per name: excluding one layer does not move the others' masks.
      Rng rng = context.rng.fork(stream_id(weight.name));
      Tensor score = Tensor::empty(weight.parameter->shape(), DType::F64);
      fill_uniform_(score, rng);
      scores.push_back(score);
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> random_score() {
  return std::make_unique<RandomScore>();
}

}  // namespace espalier::prune
