// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/scores/leading.h>

namespace espalier::prune {
namespace {

class Leading : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      Tensor& score = scores.emplace_back(Tensor::empty(weight.parameter->shape(), DType::F64));
      for (int64_t i = 0; i < score.numel(); ++i) score.data<double>()[i] = -static_cast<double>(i);
    }
    return scores;
  }

  std::vector<std::vector<double>> score_units(const ScoreContext&,
                                               std::span<const Site> sites) override {
    std::vector<std::vector<double>> scores;
    for (const Site& site : sites) {
      std::vector<double>& units = scores.emplace_back();
      for (int64_t u = 0; u < site.units; ++u) units.push_back(-static_cast<double>(u));
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> leading_score() {
  return std::make_unique<Leading>();
}

}  // namespace espalier::prune
