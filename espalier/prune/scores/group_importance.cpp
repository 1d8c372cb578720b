// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/scores/group_importance.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune {
namespace {

class GroupImportance : public Score {
 public:
  explicit GroupImportance(GroupNormalizer normalizer) : normalizer_(normalizer) {}

  std::vector<Tensor> compute(const ScoreContext&) override {
    throw NotImplemented("group importance: a score of channels, not of weights");
  }

  std::vector<std::vector<double>> score_units(const ScoreContext& context,
                                               std::span<const Site> sites) override {
    const std::vector<nn::NamedParameter> scales = norm_scales(context.model);
    std::vector<std::vector<double>> scores;
    for (const Site& site : sites) {
      scores.push_back(group_importance(site, scales));
      const double divisor = divisor_of(scores.back(), site.alive());
      for (double& score : scores.back()) score /= divisor > 0.0 ? divisor : 1.0;
    }
    return scores;
  }

 private:
  double divisor_of(std::span<const double> scores, std::span<const uint8_t> alive) const {
    if (normalizer_ == GroupNormalizer::None) return 1.0;
    double sum = 0.0;
    double most = 0.0;
    double living = 0.0;
    for (size_t u = 0; u < scores.size(); ++u) {
      if (alive[u] == 0) continue;
      sum += scores[u];
      most = std::max(most, scores[u]);
      living += 1.0;
    }
    return normalizer_ == GroupNormalizer::Max ? most : sum / std::max(living, 1.0);
  }

  GroupNormalizer normalizer_;
};

}  // namespace

std::vector<const SitePart*> members_of(const Site& site,
                                        std::span<const nn::NamedParameter> scales) {
  std::vector<const SitePart*> members;
  for (const SitePart& part : site.parts) {
    const bool scale = std::ranges::count(scales, part.parameter, &nn::NamedParameter::parameter);
    if (scale || part.parameter->shape().rank() >= 2) members.push_back(&part);
  }
  return members;
}

std::vector<double> group_importance(const Site& site, std::span<const nn::NamedParameter> scales) {
  std::vector<double> importance(static_cast<size_t>(site.units), 0.0);
  const std::vector<const SitePart*> members = members_of(site, scales);
  for (const SitePart* member : members) {
    const std::vector<double> values = member->parameter->value.value().to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      const int64_t unit = member->units.unit(static_cast<int64_t>(i));
      if (unit >= 0) importance[static_cast<size_t>(unit)] += values[i] * values[i];
    }
  }
  for (double& sum : importance) sum /= static_cast<double>(std::max<size_t>(members.size(), 1));
  return importance;
}

std::vector<double> growing_factors(std::span<const double> importance,
                                    std::span<const uint8_t> alive,
                                    double alpha) {
  double least = std::numeric_limits<double>::infinity();
  double most = 0.0;
  for (size_t u = 0; u < importance.size(); ++u) {
    if (alive[u] == 0) continue;
    least = std::min(least, importance[u]);
    most = std::max(most, importance[u]);
  }
  std::vector<double> factors;
  for (size_t u = 0; u < importance.size(); ++u) {
    const double way = most > least ? (most - importance[u]) / (most - least) : 0.0;
    factors.push_back(alive[u] == 0 ? 0.0 : std::exp2(alpha * way));
  }
  return factors;
}

std::unique_ptr<Score> group_importance_score(GroupNormalizer normalizer) {
  return std::make_unique<GroupImportance>(normalizer);
}

}  // namespace espalier::prune
