// SPDX-License-Identifier: Apache-2.0
/// Adaptive threshold: one for the whole network, which follows the number that dies by it.
///
/// Source: Mostafa, Wang, arXiv 1902.05967, algorithm 1, with the tolerance of its published code.
#include <cmath>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

constexpr double kTolerance = 0.1;
constexpr const char* kThreshold = "threshold";

class AdaptiveThresholdScore : public Score {
 public:
  AdaptiveThresholdScore(double pruned, double first) : pruned_(pruned), threshold_(first) {
    ESPALIER_CHECK(pruned > 0.0 && pruned <= 1.0 && first > 0.0,
                   ValueError,
                   "adaptive threshold: expects a fraction in 0 .. 1 (0 excluded) and a threshold "
                   "above 0, got ",
                   pruned,
                   " and ",
                   first);
  }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    int64_t living = 0;
    int64_t below = 0;
    for (const nn::NamedParameter& weight : context.weights) {
      Tensor score = as_double(weight.parameter->value.value());
      const Tensor mask = weight.parameter->mask();
      double* s = score.data<double>();
      for (int64_t i = 0; i < score.numel(); ++i) {
        s[i] = std::abs(s[i]);
        const bool dies = s[i] < threshold_;
        if (!mask.defined() || mask.data<uint8_t>()[i] != 0) {
          ++living;
          below += dies ? 1 : 0;
        }
        if (dies) s[i] -= threshold_;
      }
      scores.push_back(score);
    }
    const double wanted = pruned_ * static_cast<double>(living);
    const auto died = static_cast<double>(below);
    if (died > (1.0 + kTolerance) * wanted) threshold_ /= 2.0;
    if (died < (1.0 - kTolerance) * wanted) threshold_ *= 2.0;
    return scores;
  }

  std::map<std::string, Tensor> state() const override {
    return {{kThreshold, Tensor::full({}, threshold_, DType::F64)}};
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    const auto saved = state.find(kThreshold);
    ESPALIER_CHECK(saved != state.end() && saved->second.numel() == 1,
                   ValueError,
                   "adaptive threshold: the saved state has no 'threshold'");
    threshold_ = saved->second.item();
  }

 private:
  double pruned_;
  double threshold_;
};

}  // namespace

std::unique_ptr<Score> adaptive_threshold_score(double pruned, double first_threshold) {
  return std::make_unique<AdaptiveThresholdScore>(pruned, first_threshold);
}

}  // namespace espalier::prune
