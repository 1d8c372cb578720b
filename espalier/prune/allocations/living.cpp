// SPDX-License-Identifier: Apache-2.0
/// Living: what is there stays. Which units of it change places, or how many grow, is said
/// elsewhere.
#include <algorithm>

#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class LivingAllocation : public Allocation {
 public:
  std::string name() const override { return "living"; }
  bool looks_at_scores() const override { return true; }
  bool heeds_target() const override { return false; }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity) const override {
    std::vector<int64_t> kept;
    for (const SiteScores& layer : layers) {
      kept.push_back(std::ranges::count(layer.alive, uint8_t{1}));
    }
    return kept;
  }
};

}  // namespace

std::unique_ptr<Allocation> living_allocation() {
  return std::make_unique<LivingAllocation>();
}

}  // namespace espalier::prune
