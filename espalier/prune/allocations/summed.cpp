// SPDX-License-Identifier: Apache-2.0
/// Summed: scores are shares of units, and a layer keeps what they add up to.
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

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

std::unique_ptr<Allocation> summed_allocation() {
  return std::make_unique<SummedAllocation>();
}

}  // namespace espalier::prune
