// SPDX-License-Identifier: Apache-2.0
/// Threshold: what stays is decided by the scores alone, for methods whose training brings units to
/// zero itself.
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class ThresholdAllocation : public Allocation {
 public:
  std::string name() const override { return "threshold"; }
  explicit ThresholdAllocation(double threshold) : threshold_(threshold) {}
  bool looks_at_scores() const override { return true; }
  bool heeds_target() const override { return false; }
  SparsityOf sparsity_of(bool channels) const override {
    return channels ? SparsityOf::Channels : SparsityOf::Weights;
  }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity) const override {
    std::vector<int64_t> kept;
    for (const SiteScores& layer : layers) {
      int64_t above = 0;
      for (size_t u = 0; u < layer.scores.size(); ++u) {
        if (layer.alive[u] != 0 && layer.scores[u] > threshold_) ++above;
      }
      kept.push_back(above);
    }
    return kept;
  }

 private:
  double threshold_;
};

}  // namespace

std::unique_ptr<Allocation> threshold_allocation(double threshold) {
  return std::make_unique<ThresholdAllocation>(threshold);
}

}  // namespace espalier::prune
