// SPDX-License-Identifier: Apache-2.0
/// Settled: numbers that another allocation has given, each to the layer of its name.
#include <espalier/core/error.h>
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class SettledAllocation : public Allocation {
 public:
  SettledAllocation(std::map<std::string, int64_t> kept, const Allocation& by)
      : kept_(std::move(kept)), name_(by.name()), weights_(by.sparsity_of(false)) {}
  std::string name() const override { return name_; }
  SparsityOf sparsity_of(bool channels) const override {
    return channels ? SparsityOf::Nothing : weights_;
  }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity) const override {
    std::vector<int64_t> kept;
    for (const SiteScores& layer : layers) {
      const auto found = kept_.find(layer.name);
      ESPALIER_CHECK(found != kept_.end(),
                     ValueError,
                     "allocation: nothing was settled for ",
                     layer.name,
                     " when the others were");
      kept.push_back(found->second);
    }
    return kept;
  }

 private:
  std::map<std::string, int64_t> kept_;
  std::string name_;
  SparsityOf weights_;
};

}  // namespace

std::unique_ptr<Allocation> settled_allocation(std::map<std::string, int64_t> kept,
                                               const Allocation& by) {
  return std::make_unique<SettledAllocation>(std::move(kept), by);
}

}  // namespace espalier::prune
