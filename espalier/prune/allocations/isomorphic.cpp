// SPDX-License-Identifier: Apache-2.0
/// Isomorphic: layers compete with those that are the same structure, at any width.
///
/// Source: Fang, Ma, Bi Mi, Wang, arXiv 2407.04616: heterogeneous structures have scores that do
/// not compare, so each kind is ranked for itself and loses the same share.
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class IsomorphicAllocation : public Allocation {
 public:
  std::string name() const override { return "isomorphic"; }
  bool looks_at_scores() const override { return true; }
  SparsityOf sparsity_of(bool /*channels*/) const override { return SparsityOf::Channels; }

  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    const std::unique_ptr<Allocation> within = global_units_allocation();
    std::map<std::string, std::vector<size_t>> kinds;
    for (size_t l = 0; l < layers.size(); ++l) kinds[layers[l].kind].push_back(l);
    std::vector<int64_t> kept(layers.size(), 0);
    for (const auto& [kind, members] : kinds) {
      std::vector<SiteScores> alike;
      for (const size_t l : members) alike.push_back(layers[l]);
      const std::vector<int64_t> of_kind = within->keep(alike, target);
      for (size_t i = 0; i < members.size(); ++i) kept[members[i]] = of_kind[i];
    }
    return kept;
  }
};

}  // namespace

std::unique_ptr<Allocation> isomorphic_allocation() {
  return std::make_unique<IsomorphicAllocation>();
}

}  // namespace espalier::prune
