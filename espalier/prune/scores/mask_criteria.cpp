// SPDX-License-Identifier: Apache-2.0
/// Mask criteria.
///
/// Source: Zhou, Lan, Liu, Yosinski, arXiv 1905.01067. The published code has no a: it keeps what
/// is above one percentile, found by halving, in both |v| and |w|. The ratio of means is ours.
#include <espalier/prune/scores/mask_criteria.h>

#include <algorithm>
#include <cmath>

namespace espalier::prune {
namespace {

class MaskCriterionScore : public Score {
 public:
  explicit MaskCriterionScore(MaskCriterion criterion) : criterion_(criterion) {}

  void observe(nn::TrainState& state) override {
    if (!first_.empty()) return;
    for (const nn::NamedParameter& one : state.model.named_parameters()) {
      if (one.parameter->shape().rank() < 2) continue;
      first_[one.name] = one.parameter->value.value().clone();
    }
  }
  std::map<std::string, Tensor> state() const override { return first_; }
  void load_state(const std::map<std::string, Tensor>& state) override {
    first_.clear();
    for (const auto& [name, tensor] : state) first_[name] = tensor.clone();
  }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    if (criterion_ == MaskCriterion::Random) return random_score()->compute(context);
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) scores.push_back(score(weight));
    return scores;
  }

 private:
  Tensor score(const nn::NamedParameter& weight) const {
    Tensor last = as_double(weight.parameter->value.value());
    double* w = last.data<double>();
    const bool needs_first =
        criterion_ != MaskCriterion::LargeFinal && criterion_ != MaskCriterion::SmallFinal;
    const auto found = first_.find(weight.name);
    ESPALIER_CHECK(!needs_first || found != first_.end(),
                   ValueError,
                   "mask criteria: needs the weights that training began with, but has seen no "
                   "training of ",
                   weight.name);
    const Tensor first = needs_first ? as_double(found->second) : last.clone();
    const double* v = first.data<double>();
    const double a = criterion_ == MaskCriterion::LargeInitLargeFinal
                         ? mean_ratio(*weight.parameter, v, w)
                         : 1.0;
    for (int64_t i = 0; i < last.numel(); ++i) w[i] = of(v[i], w[i], a);
    return last;
  }

  /// Of what is there.
  static double mean_ratio(const nn::Parameter& weight, const double* v, const double* w) {
    const Tensor mask = weight.mask();
    double at_first = 0.0;
    double at_last = 0.0;
    for (int64_t i = 0; i < weight.numel(); ++i) {
      if (mask.defined() && mask.data<uint8_t>()[i] == 0) continue;
      at_first += std::abs(v[i]);
      at_last += std::abs(w[i]);
    }
    return at_last > 0.0 ? at_first / at_last : 1.0;
  }

  double of(double v, double w, double a) const {
    switch (criterion_) {
      case MaskCriterion::LargeFinal:
        return std::abs(w);
      case MaskCriterion::SmallFinal:
        return -std::abs(w);
      case MaskCriterion::LargeInit:
        return std::abs(v);
      case MaskCriterion::LargeInitLargeFinal:
        return std::min(a * std::abs(w), std::abs(v));
      case MaskCriterion::MagnitudeIncrease:
        return std::abs(w) - std::abs(v);
      case MaskCriterion::Movement:
        return std::abs(w - v);
      case MaskCriterion::LargeFinalSameSign:
        return v == 0.0 ? 0.0 : std::max(0.0, std::copysign(1.0, v) * w);
      case MaskCriterion::Random:
        break;
    }
    return 0.0;
  }

  MaskCriterion criterion_;
  std::map<std::string, Tensor> first_;  // values of weights when training began
};

}  // namespace

std::unique_ptr<Score> mask_criterion_score(MaskCriterion criterion) {
  return std::make_unique<MaskCriterionScore>(criterion);
}

}  // namespace espalier::prune
