// SPDX-License-Identifier: Apache-2.0
/// Sign flip: which weights have crossed zero since the last update.
///
/// Source: Bellec, Kappel, Maass, Legenstein, arXiv 1711.05136, algorithm 1. There the sign of a
/// connection is drawn once; here, as in the code that Mostafa, Wang, arXiv 1902.05967, compare
/// with, it is the one that its first step gives it.
#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

int sign(double w) {
  return (w > 0.0) - (w < 0.0);
}

class SignFlipScore : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) scores.push_back(score(weight));
    return scores;
  }

  std::map<std::string, Tensor> state() const override { return signs_; }
  void load_state(const std::map<std::string, Tensor>& state) override {
    signs_.clear();
    for (const auto& [name, tensor] : state) signs_[name] = tensor.clone();
  }

 private:
  Tensor score(const nn::NamedParameter& weight) {
    Tensor score = as_double(weight.parameter->value.value());
    Tensor& before = signs_[weight.name];
    if (!before.defined()) before = Tensor::ones(score.shape(), DType::U8);
    double* w = score.data<double>();
    uint8_t* s = before.data<uint8_t>();
    for (int64_t i = 0; i < score.numel(); ++i) {
      const int now = sign(w[i]);
      const bool flipped = now * (s[i] - 1) < 0;
      // What goes has no sign when it comes back.
      s[i] = static_cast<uint8_t>(flipped ? 1 : now + 1);
      w[i] = flipped ? 0.0 : 1.0;
    }
    return score;
  }

  std::map<std::string, Tensor> signs_;  // at the last update, + 1
};

}  // namespace

std::unique_ptr<Score> sign_flip_score() {
  return std::make_unique<SignFlipScore>();
}

}  // namespace espalier::prune
