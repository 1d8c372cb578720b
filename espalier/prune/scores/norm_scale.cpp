// SPDX-License-Identifier: Apache-2.0
/// Norm scale: |gamma| of the batch norm that scales a channel.
///
/// Source: Liu, Li, Shen, Huang, Yan, Zhang, arXiv 1708.06519, section 3; the largest of a group:
/// Gordon et al., arXiv 1711.06798, section 5.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune {
namespace {

class NormScaleScore : public Score {
 public:
  explicit NormScaleScore(OfNorms of_norms) : of_norms_(of_norms) {}

  std::vector<Tensor> compute(const ScoreContext&) override {
    throw NotImplemented("norm scale: a score of channels, not of weights");
  }

  std::vector<std::vector<double>> score_units(const ScoreContext& context,
                                               std::span<const Site> sites) override {
    const std::vector<nn::NamedParameter> scales = norm_scales(context.model);
    std::vector<std::vector<double>> scores;
    for (const Site& site : sites) scores.push_back(of_site(site, scales));
    return scores;
  }

 private:
  std::vector<double> of_site(const Site& site,
                              const std::vector<nn::NamedParameter>& scales) const {
    ESPALIER_CHECK(
        has_norm_scale(site, scales), ValueError, "norm scale: nothing scales ", site.name);
    const bool largest = of_norms_ == OfNorms::Largest;
    std::vector<double> scores(static_cast<size_t>(site.units),
                               largest ? 0.0 : std::numeric_limits<double>::infinity());
    for (const SitePart& part : site.parts) {
      if (!std::ranges::count(scales, part.parameter, &nn::NamedParameter::parameter)) continue;
      const std::vector<double> gamma = part.parameter->value.value().to_vector<double>();
      for (size_t i = 0; i < gamma.size(); ++i) {
        const int64_t unit = part.units.unit(static_cast<int64_t>(i));
        if (unit < 0) continue;
        double& score = scores[static_cast<size_t>(unit)];
        score = largest ? std::max(score, std::abs(gamma[i])) : std::min(score, std::abs(gamma[i]));
      }
    }
    return scores;
  }

  OfNorms of_norms_;
};

}  // namespace

std::vector<nn::NamedParameter> norm_scales(nn::Module& model) {
  std::set<std::string> names;
  for (const nn::NamedModule& layer : model.named_modules()) {
    const nn::ChannelCoupling coupling = layer.module->channel_coupling();
    if (!coupling.passes_through || !coupling.frozen_because.empty()) continue;
    names.insert(layer.name.empty() ? "weight" : layer.name + ".weight");
  }
  std::vector<nn::NamedParameter> scales;
  for (const nn::NamedParameter& one : model.named_parameters()) {
    if (one.parameter->shape().rank() == 1 && names.contains(one.name)) {
      scales.push_back({one.name, one.parameter});
    }
  }
  return scales;
}

bool has_norm_scale(const Site& site, std::span<const nn::NamedParameter> scales) {
  return std::ranges::any_of(site.parts, [&](const SitePart& part) {
    return std::ranges::count(scales, part.parameter, &nn::NamedParameter::parameter) > 0;
  });
}

std::string without_norm_scale(nn::Module& model, const Site& site) {
  return has_norm_scale(site, norm_scales(model)) ? "" : "no batch norm scales its channels";
}

std::unique_ptr<Score> norm_scale_score(OfNorms of_norms) {
  return std::make_unique<NormScaleScore>(of_norms);
}

}  // namespace espalier::prune
