// SPDX-License-Identifier: Apache-2.0
/// Summed: scores are shares of units, and a layer keeps what they add up to, or is as wide beside
/// the others.
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

std::vector<double> shares_of(std::span<const SiteScores> layers) {
  std::vector<double> shares;
  for (const SiteScores& layer : layers) {
    double sum = 0.0;
    for (size_t u = 0; u < layer.scores.size(); ++u) {
      if (layer.alive[u] != 0) sum += layer.scores[u];
    }
    shares.push_back(layer.units == 0 ? 0.0 : sum / static_cast<double>(layer.units));
  }
  return shares;
}

class ScaledSums : public Allocation {
 public:
  std::string name() const override { return "summed"; }
  bool looks_at_scores() const override { return true; }
  SparsityOf sparsity_of(bool) const override { return SparsityOf::Weights; }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    return ratio_allocation(shares_of(layers), Ratios::Scaled)->keep(layers, target);
  }
  std::vector<int64_t> keep_channels(std::span<const SiteScores> layers,
                                     Sparsity target,
                                     ChannelWeights& weights) const override {
    return ratio_allocation(shares_of(layers), Ratios::Scaled)
        ->keep_channels(layers, target, weights);
  }
};

class SummedAllocation : public Allocation {
 public:
  std::string name() const override { return "summed"; }
  bool looks_at_scores() const override { return true; }
  bool heeds_target() const override { return false; }
  SparsityOf sparsity_of(bool) const override { return SparsityOf::Nothing; }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity) const override {
    std::vector<int64_t> kept;
    for (const SiteScores& layer : layers) {
      double sum = 0.0;
      for (size_t u = 0; u < layer.scores.size(); ++u) {
        if (layer.alive[u] != 0) sum += layer.scores[u];
      }
      kept.push_back(guarded_floor(sum + 0.5));
    }
    return kept;
  }
};

}  // namespace

std::unique_ptr<Allocation> summed_allocation(Ratios taken) {
  if (taken == Ratios::Scaled) return std::make_unique<ScaledSums>();
  return std::make_unique<SummedAllocation>();
}

}  // namespace espalier::prune
