// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/allocations/learnt_ratios.h>

#include <espalier/prune/sites/channel_weights.h>

namespace espalier::prune {
namespace {

class LearntRatioAllocation : public Allocation {
 public:
  explicit LearntRatioAllocation(std::shared_ptr<const RatiosByLayer> ratios)
      : ratios_(std::move(ratios)) {}

  std::string name() const override { return "ratios"; }
  bool looks_at_scores() const override { return true; }
  SparsityOf sparsity_of(bool /*channels*/) const override { return SparsityOf::Weights; }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    return of(layers)->keep(layers, target);
  }
  std::vector<int64_t> keep_channels(std::span<const SiteScores> layers,
                                     Sparsity target,
                                     ChannelWeights& weights) const override {
    return of(layers)->keep_channels(layers, target, weights);
  }

 private:
  std::unique_ptr<Allocation> of(std::span<const SiteScores> layers) const {
    std::vector<double> ratios;
    for (const SiteScores& layer : layers) {
      const auto found = ratios_->find(layer.name);
      ratios.push_back(found == ratios_->end() ? 1.0 : found->second);
    }
    return ratio_allocation(std::move(ratios), Ratios::Scaled);
  }

  std::shared_ptr<const RatiosByLayer> ratios_;
};

}  // namespace

std::unique_ptr<Allocation> learnt_ratio_allocation(std::shared_ptr<const RatiosByLayer> ratios) {
  return std::make_unique<LearntRatioAllocation>(std::move(ratios));
}

}  // namespace espalier::prune
