// SPDX-License-Identifier: Apache-2.0
/// Regrowth: what died anywhere grows where a share says.
///
/// Source: shares by momentum: Dettmers, Zettlemoyer, arXiv 1907.04840; by survivors: Mostafa,
/// Wang, arXiv 1902.05967.
#include <algorithm>

#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class RegrowthAllocation : public Allocation {
 public:
  explicit RegrowthAllocation(GrowthShare share) : share_(share) {}
  std::string name() const override { return "regrowth"; }
  bool looks_at_scores() const override { return true; }

  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    std::vector<int64_t> kept;
    std::vector<double> parts;
    int64_t units = 0;
    int64_t missing = 0;
    for (const SiteScores& layer : layers) {
      kept.push_back(std::ranges::count(layer.alive, uint8_t{1}));
      parts.push_back(share_ == GrowthShare::Merit ? layer.merit
                                                   : static_cast<double>(kept.back()));
      units += layer.units;
      missing -= kept.back();
    }
    missing += kept_count(units, target);
    if (missing <= 0) return kept;
    std::vector<int64_t> places;  // that are left
    for (const SiteScores& layer : layers) places.push_back(layer.places);
    const auto grow = [&](const std::vector<double>& in_proportion) {
      const std::vector<int64_t> grown = shared(in_proportion, places, missing);
      for (size_t l = 0; l < layers.size(); ++l) {
        kept[l] += grown[l];
        places[l] -= grown[l];
        missing -= grown[l];
      }
    };
    grow(parts);
    if (missing > 0) grow({places.begin(), places.end()});  // layers without a share
    if (missing == 0) return kept;
    // Just dropped units come back where there is no other place.
    for (size_t l = 0; l < layers.size(); ++l) places[l] = layers[l].units - kept[l];
    grow({places.begin(), places.end()});
    return kept;
  }

 private:
  /// Whole numbers in proportion to `parts`, none beyond its place.
  static std::vector<int64_t> shared(const std::vector<double>& parts,
                                     const std::vector<int64_t>& places,
                                     int64_t total) {
    const std::vector<double> none(parts.size(), 0.0);
    const std::vector<double> most(places.begin(), places.end());
    std::vector<int64_t> shares =
        apportion(share_within(parts, none, most, static_cast<double>(total)));
    for (size_t l = 0; l < shares.size(); ++l) shares[l] = std::min(shares[l], places[l]);
    return shares;
  }

  GrowthShare share_;
};

}  // namespace

std::unique_ptr<Allocation> regrowth_allocation(GrowthShare share) {
  return std::make_unique<RegrowthAllocation>(share);
}

}  // namespace espalier::prune
