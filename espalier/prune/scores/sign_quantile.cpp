// SPDX-License-Identifier: Apache-2.0
/// Sign quantile: the fraction of the layer's weights of the same sign that are at most as large.
/// Dropping the lowest fraction zeta of it drops zeta of the positive weights nearest to zero and
/// zeta of the negative ones.
///
/// Source: Mocanu et al., arXiv 1707.04780, algorithm 2 (the smallest positive and the largest
/// negative weights). There each sign is rounded by itself; here the layer's number is exact, and a
/// sign's is the floor or one more.
#include <algorithm>
#include <cmath>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

/// Writes the quantiles of the weights at `places`, all of one sign; the lower index is the higher
/// of equals, as everywhere in selection.
void rank(std::vector<int64_t>& places, const float* w, double* score) {
  std::sort(places.begin(), places.end(), [w](int64_t a, int64_t b) {
    const float x = std::abs(w[a]);
    const float y = std::abs(w[b]);
    return x != y ? x < y : a > b;
  });
  for (size_t r = 0; r < places.size(); ++r) {
    score[places[r]] = static_cast<double>(r + 1) / static_cast<double>(places.size());
  }
}

class SignQuantileScore : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      const Tensor value = weight.parameter->value.value().to(DType::F32).contiguous();
      const Tensor mask = weight.parameter->mask();
      const float* w = value.data<float>();
      std::vector<int64_t> positive;
      std::vector<int64_t> negative;
      for (int64_t i = 0; i < value.numel(); ++i) {
        if (mask.defined() && mask.data<uint8_t>()[i] == 0) continue;
        if (w[i] > 0.0F) positive.push_back(i);
        if (w[i] < 0.0F) negative.push_back(i);
      }
      Tensor score = Tensor::zeros(value.shape(), DType::F64);  // zeros are nearest to zero
      rank(positive, w, score.data<double>());
      rank(negative, w, score.data<double>());
      scores.push_back(std::move(score));
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> sign_quantile_score() {
  return std::make_unique<SignQuantileScore>();
}

}  // namespace espalier::prune
