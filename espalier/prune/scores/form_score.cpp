// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/scores/form_score.h>

#include <algorithm>
#include <limits>

#include <espalier/prune/sites/unit_gates.h>

namespace espalier::prune {
namespace {

class FormScore : public Score {
 public:
  FormScore(std::shared_ptr<const FormsByWeight> forms, FormValues values)
      : forms_(std::move(forms)), values_(std::move(values)) {}

  std::vector<Tensor> compute(const ScoreContext& context) override {
    check();
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      const Tensor values = of(weight.name, weight.parameter->shape());
      scores.push_back(values.defined() ? values
                                        : Tensor::zeros(weight.parameter->shape(), DType::F64));
    }
    return scores;
  }

  std::vector<std::vector<double>> score_units(const ScoreContext&,
                                               std::span<const Site> sites) override {
    check();
    constexpr double kNone = -std::numeric_limits<double>::infinity();
    std::vector<std::vector<double>> scores;
    for (const Site& site : sites) {
      std::vector<double>& units = scores.emplace_back(static_cast<size_t>(site.units), kNone);
      for (const SitePart& part : site.parts) {
        const Tensor values =
            is_gated(site, part) ? of(part.name, part.parameter->shape()) : Tensor();
        for (int64_t i = 0; values.defined() && i < values.numel(); ++i) {
          const int64_t unit = part.units.unit(i);
          if (unit < 0) continue;
          double& score = units[static_cast<size_t>(unit)];
          score = std::max(score, values.data<double>()[i]);
        }
      }
      std::ranges::replace(units, kNone, 0.0);
    }
    return scores;
  }

 private:
  void check() const {
    ESPALIER_CHECK(!forms_->empty(),
                   NotImplemented,
                   "prune: the score of forms that a training puts on; there was none");
  }

  Tensor of(const std::string& weight, const Shape& shape) const {
    const auto form = forms_->find(weight);
    return form == forms_->end() ? Tensor() : as_double(values_(*form->second, shape));
  }

  std::shared_ptr<const FormsByWeight> forms_;
  FormValues values_;
};

}  // namespace

std::unique_ptr<Score> form_score(std::shared_ptr<const FormsByWeight> forms, FormValues values) {
  return std::make_unique<FormScore>(std::move(forms), std::move(values));
}

}  // namespace espalier::prune
