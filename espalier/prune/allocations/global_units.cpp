// SPDX-License-Identifier: Apache-2.0
/// Global over units: the sparsity is a fraction of all units, whatever their size; the highest
/// scores stay wherever they are.
#include <algorithm>
#include <limits>
#include <numeric>

#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class GlobalUnitsAllocation : public Allocation {
 public:
  std::string name() const override { return "global-units"; }
  explicit GlobalUnitsAllocation(GlobalCount count) : count_(count) {}
  bool looks_at_scores() const override { return true; }

  SparsityOf sparsity_of(bool /*channels*/) const override { return SparsityOf::Channels; }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    std::vector<double> scores;
    std::vector<uint8_t> alive;
    for (const SiteScores& layer : layers) {
      scores.insert(scores.end(), layer.scores.begin(), layer.scores.end());
      alive.insert(alive.end(), layer.alive.begin(), layer.alive.end());
    }
    const std::vector<uint8_t> stays = count_ == GlobalCount::Threshold
                                           ? above_threshold(scores, alive, target)
                                           : best(layers, scores, alive, target);
    std::vector<int64_t> kept;
    auto begin = stays.begin();
    for (const SiteScores& layer : layers) {
      kept.push_back(std::accumulate(begin, begin + layer.units, int64_t{0}));
      begin += layer.units;
    }
    return kept;
  }

 private:
  static std::vector<uint8_t> best(std::span<const SiteScores> layers,
                                   std::vector<double> scores,
                                   const std::vector<uint8_t>& alive,
                                   Sparsity target) {
    // The `at_least` units of a layer that must stay go before all others.
    size_t begin = 0;
    for (const SiteScores& layer : layers) {
      const int64_t left = std::count(layer.alive.begin(), layer.alive.end(), uint8_t{1});
      const auto safe =
          top_k(layer.scores, layer.alive, std::min(layer.at_least, left), layer.first);
      for (size_t u = 0; u < safe.size(); ++u) {
        if (safe[u] != 0) scores[begin + u] = std::numeric_limits<double>::infinity();
      }
      begin += safe.size();
    }
    const int64_t candidates = std::count(alive.begin(), alive.end(), uint8_t{1});
    const int64_t kept = kept_count(static_cast<int64_t>(scores.size()), target);
    return top_k(scores, alive, std::min(kept, candidates));
  }

  /// Those above the element at S*n of the ascending list, which goes too, with all that equal it.
  static std::vector<uint8_t> above_threshold(const std::vector<double>& scores,
                                              const std::vector<uint8_t>& alive,
                                              Sparsity target) {
    std::vector<double> sorted = scores;
    std::ranges::sort(sorted);
    const auto place =
        static_cast<size_t>(guarded_floor(target.value() * static_cast<double>(sorted.size())));
    std::vector<uint8_t> stays(scores.size(), 0);
    if (sorted.empty()) return stays;
    const double threshold = sorted[std::min(place, sorted.size() - 1)];
    for (size_t u = 0; u < scores.size(); ++u) {
      stays[u] = alive[u] != 0 && scores[u] > threshold ? 1 : 0;
    }
    return stays;
  }

  GlobalCount count_;
};

}  // namespace

std::unique_ptr<Allocation> global_units_allocation(GlobalCount count) {
  return std::make_unique<GlobalUnitsAllocation>(count);
}

}  // namespace espalier::prune
