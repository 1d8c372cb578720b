// SPDX-License-Identifier: Apache-2.0
/// Ratios: every layer keeps a share of its units that somebody else has found.
#include <algorithm>
#include <functional>
#include <numeric>

#include <espalier/core/error.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/sites/channel_weights.h>

namespace espalier::prune {
namespace {

using Counts = std::vector<int64_t>;
/// Weights that are left when every layer keeps so many units.
using Weigh = std::function<int64_t(const Counts&)>;

constexpr int kHalvings = 60;

/// Units that are there, the best first.
std::vector<size_t> best_first(const SiteScores& layer) {
  std::vector<size_t> order;
  for (size_t u = 0; u < static_cast<size_t>(layer.units); ++u) {
    if (layer.alive.empty() || layer.alive[u] != 0) order.push_back(u);
  }
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    if (!layer.first.empty() && layer.first[a] != layer.first[b]) return layer.first[a] != 0;
    return !layer.scores.empty() && layer.scores[a] > layer.scores[b];
  });
  return order;
}

class RatioAllocation : public Allocation {
 public:
  RatioAllocation(std::vector<double> ratios, Ratios taken, std::vector<std::string> names)
      : ratios_(std::move(ratios)), taken_(taken), names_(std::move(names)) {
    ESPALIER_CHECK(names_.empty() || names_.size() == ratios_.size(),
                   ValueError,
                   "ratios: ",
                   ratios_.size(),
                   " of them for ",
                   names_.size(),
                   " names");
  }

  std::string name() const override { return "ratios"; }
  bool looks_at_scores() const override { return true; }
  SparsityOf sparsity_of(bool /*channels*/) const override { return SparsityOf::Weights; }

  Counts keep(std::span<const SiteScores> layers, Sparsity target) const override {
    // By layer, the weights of its best 0, 1, 2, .. units.
    std::vector<std::vector<int64_t>> weights;
    int64_t total = 0;
    for (const SiteScores& layer : layers) {
      auto& sums = weights.emplace_back(1, 0);
      const auto weight = [&](size_t u) { return layer.weights.empty() ? 1 : layer.weights[u]; };
      for (const size_t u : best_first(layer)) sums.push_back(sums.back() + weight(u));
      for (size_t u = 0; u < static_cast<size_t>(layer.units); ++u) total += weight(u);
    }
    return counts(layers, kept_count(total, target), [&](const Counts& kept) {
      int64_t left = 0;
      for (size_t l = 0; l < kept.size(); ++l) left += weights[l][static_cast<size_t>(kept[l])];
      return left;
    });
  }

  Counts keep_channels(std::span<const SiteScores> layers,
                       Sparsity target,
                       ChannelWeights& weights) const override {
    std::vector<std::vector<size_t>> order;
    for (size_t l = 0; l < layers.size(); ++l) {
      for (int64_t u = 0; u < layers[l].units; ++u) {
        if (layers[l].alive[static_cast<size_t>(u)] == 0) weights.remove(l, u);
      }
      order.push_back(best_first(layers[l]));
    }
    return counts(layers, kept_count(weights.total(), target), [&](const Counts& kept) {
      ChannelWeights left = weights;
      for (size_t l = 0; l < kept.size(); ++l) {
        for (size_t u = static_cast<size_t>(kept[l]); u < order[l].size(); ++u) {
          left.remove(l, static_cast<int64_t>(order[l][u]));
        }
      }
      return left.left();
    });
  }

 private:
  /// The share of a layer.
  double ratio_of(std::span<const SiteScores> layers, size_t l) const {
    if (ratios_.empty()) return 1.0;
    if (names_.empty()) return ratios_[l];
    const auto found = std::ranges::find(names_, layers[l].name);
    ESPALIER_CHECK(found != names_.end(), ValueError, "ratios: there is none for ", layers[l].name);
    return ratios_[static_cast<size_t>(found - names_.begin())];
  }

  /// Units that a layer would keep at a factor, not yet rounded.
  double wanted(std::span<const SiteScores> layers, size_t l, double factor) const {
    return factor * ratio_of(layers, l) * static_cast<double>(layers[l].units);
  }

  Counts counts(std::span<const SiteScores> layers, int64_t budget, const Weigh& weigh) const {
    ESPALIER_CHECK(ratios_.empty() || !names_.empty() || ratios_.size() == layers.size(),
                   ShapeError,
                   "ratios: ",
                   ratios_.size(),
                   " of them for ",
                   layers.size(),
                   " layers");
    Counts alive;
    for (const SiteScores& layer : layers) {
      alive.push_back(static_cast<int64_t>(best_first(layer).size()));
    }
    const auto at = [&](double factor) {
      Counts kept;
      for (size_t l = 0; l < layers.size(); ++l) {
        const double units = wanted(layers, l, factor);
        const int64_t rounded =
            taken_ == Ratios::Fixed ? guarded_floor(units + 0.5) : guarded_floor(units);
        const int64_t least = std::min(layers[l].at_least, alive[l]);
        kept.push_back(std::clamp(rounded, least, alive[l]));
      }
      return kept;
    };
    if (taken_ == Ratios::Fixed) return at(1.0);
    double high = 1.0;
    for (const double ratio : ratios_) {
      if (ratio > 0.0) high = std::max(high, 1.0 / ratio);
    }
    if (weigh(at(high)) <= budget) return at(high);
    double low = 0.0;
    for (int i = 0; i < kHalvings && at(low) != at(high); ++i) {
      const double middle = 0.5 * (low + high);
      (weigh(at(middle)) <= budget ? low : high) = middle;
    }
    return filled_up(layers, at(low), low, alive, budget, weigh);
  }

  /// A unit more for each layer as long as it fits, first where most was cut off by rounding.
  Counts filled_up(std::span<const SiteScores> layers,
                   Counts kept,
                   double factor,
                   const Counts& alive,
                   int64_t budget,
                   const Weigh& weigh) const {
    std::vector<size_t> order(kept.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, [&](size_t a, size_t b) {
      return wanted(layers, a, factor) - static_cast<double>(kept[a]) >
             wanted(layers, b, factor) - static_cast<double>(kept[b]);
    });
    for (bool added = true; added;) {
      added = false;
      for (const size_t l : order) {
        if (kept[l] >= alive[l]) continue;
        ++kept[l];
        if (weigh(kept) <= budget) {
          added = true;
        } else {
          --kept[l];
        }
      }
    }
    return kept;
  }

  std::vector<double> ratios_;
  Ratios taken_;
  std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<Allocation> ratio_allocation(std::vector<double> ratios,
                                             Ratios taken,
                                             std::vector<std::string> names) {
  return std::make_unique<RatioAllocation>(std::move(ratios), taken, std::move(names));
}

}  // namespace espalier::prune
