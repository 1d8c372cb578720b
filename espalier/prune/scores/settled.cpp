// SPDX-License-Identifier: Apache-2.0
/// Settled: a choice that was made before, whatever weights have become since.
#include <cmath>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class SettledScore : public Score {
 public:
  explicit SettledScore(std::shared_ptr<const MasksByName> stays) : stays_(std::move(stays)) {}

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores = magnitude_score()->compute(context);
    for (size_t w = 0; w < scores.size(); ++w) {
      const auto found = stays_->find(context.weights[w].name);
      if (found == stays_->end()) continue;
      const uint8_t* stays = found->second.data<uint8_t>();
      double* s = scores[w].data<double>();
      for (int64_t i = 0; i < scores[w].numel(); ++i) s[i] *= stays[i] != 0 ? 1.0 : 0.0;
    }
    return scores;
  }

 private:
  std::shared_ptr<const MasksByName> stays_;
};

}  // namespace

std::unique_ptr<Score> settled_score(std::shared_ptr<const MasksByName> stays) {
  return std::make_unique<SettledScore>(std::move(stays));
}

}  // namespace espalier::prune
