// SPDX-License-Identifier: Apache-2.0
/// Outliers: a block of layers in which more scores stand far above the mean stays denser.
///
/// Source: Yin et al., arXiv 2310.05175, and the published code: D_b = share of the block's scores
/// above M times their mean; densities 1 - S + r_b, r_b in proportion to D_b over a range of 2
/// lambda, and with mean 0.
#include <algorithm>
#include <cmath>
#include <map>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/ground/by_layer.h>

namespace espalier::prune {
namespace {

constexpr int kHalvingsOfOffset = 200;

/// Layers of one block, of which the scores are pooled.
struct Pool {
  double sum = 0.0;
  int64_t count = 0;
  int64_t outliers = 0;
};

class OutlierAllocation : public Allocation {
 public:
  explicit OutlierAllocation(const OutlierOptions& options) : options_(options) {}
  std::string name() const override { return "outliers"; }
  bool looks_at_scores() const override { return true; }

  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    const std::vector<double> ratios = outlier_shares(layers, options_);
    const auto [low, high] = std::ranges::minmax(ratios);
    std::vector<double> shift;  // of a layer's density, before all are moved to the target
    int64_t units = 0;
    for (size_t l = 0; l < layers.size(); ++l) {
      // Without any difference there is nothing to go by, and all are alike.
      shift.push_back(high > low ? 2.0 * options_.lambda * (ratios[l] - low) / (high - low) : 0.0);
      units += layers[l].units;
    }
    const auto total = static_cast<double>(kept_count(units, target));
    const auto kept_at = [&](double offset) {
      std::vector<double> kept;
      for (size_t l = 0; l < layers.size(); ++l) {
        const auto most = static_cast<double>(layers[l].units);
        const auto least = static_cast<double>(std::min(layers[l].at_least, layers[l].units));
        kept.push_back(std::clamp((offset + shift[l]) * most, least, most));
      }
      return kept;
    };
    double below = -2.0 * options_.lambda;
    double above = 1.0;
    for (int i = 0; i < kHalvingsOfOffset; ++i) {
      const double middle = 0.5 * (below + above);
      double sum = 0.0;
      for (const double kept : kept_at(middle)) sum += kept;
      (sum < total ? below : above) = middle;
    }
    return apportion(kept_at(above));
  }

 private:
  OutlierOptions options_;
};

}  // namespace

std::vector<double> outlier_shares(std::span<const SiteScores> layers,
                                   const OutlierOptions& options) {
  std::map<std::string, Pool> pools;
  const auto each = [&](const SiteScores& layer, auto&& use) {
    Pool& pool = pools[block_of_layer(layer.name)];
    for (size_t u = 0; u < layer.scores.size(); ++u) {
      if (layer.alive[u] != 0) use(pool, layer.scores[u]);
    }
  };
  for (const SiteScores& layer : layers) {
    each(layer, [](Pool& pool, double score) {
      pool.sum += score;
      ++pool.count;
    });
  }
  for (const SiteScores& layer : layers) {
    each(layer, [&](Pool& pool, double score) {
      pool.outliers += score * static_cast<double>(pool.count) > options.times * pool.sum;
    });
  }
  std::vector<double> shares;
  for (const SiteScores& layer : layers) {
    const Pool& pool = pools.at(block_of_layer(layer.name));
    shares.push_back(static_cast<double>(pool.outliers) /
                     static_cast<double>(std::max<int64_t>(pool.count, 1)));
  }
  return shares;
}

std::unique_ptr<Allocation> outlier_allocation(const OutlierOptions& options) {
  return std::make_unique<OutlierAllocation>(options);
}

}  // namespace espalier::prune
