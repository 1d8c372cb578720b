// SPDX-License-Identifier: Apache-2.0
/// Global allocation: all units of all layers in one ranking.
#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/sites/channel_weights.h>

namespace espalier::prune {
namespace {

class GlobalAllocation : public Allocation {
 public:
  std::string name() const override { return "global"; }
  bool looks_at_scores() const override { return true; }
  SparsityOf sparsity_of(bool /*channels*/) const override { return SparsityOf::Weights; }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    std::vector<double> scores;
    std::vector<uint8_t> alive;
    std::vector<int64_t> weights;
    for (const SiteScores& layer : layers) {
      scores.insert(scores.end(), layer.scores.begin(), layer.scores.end());
      protect(layer, std::span(scores).last(layer.scores.size()));
      alive.insert(alive.end(), layer.alive.begin(), layer.alive.end());
      weights.insert(weights.end(), layer.weights.begin(), layer.weights.end());
    }
    const int64_t total = std::accumulate(weights.begin(), weights.end(), int64_t{0});
    const int64_t budget = kept_count(total, target);
    const std::vector<uint8_t> stays = best_within(scores, alive, weights, budget);

    std::vector<int64_t> kept;
    auto begin = stays.begin();
    for (const SiteScores& layer : layers) {
      kept.push_back(std::accumulate(begin, begin + layer.units, int64_t{0}));
      begin += layer.units;
    }
    return kept;
  }

  std::vector<int64_t> keep_channels(std::span<const SiteScores> layers,
                                     Sparsity target,
                                     ChannelWeights& weights) const override {
    std::vector<Channel> order;
    std::vector<int64_t> kept;
    for (size_t l = 0; l < layers.size(); ++l) {
      const SiteScores& layer = layers[l];
      std::vector<double> scores(layer.scores.begin(), layer.scores.end());
      protect(layer, scores);
      kept.push_back(std::count(layer.alive.begin(), layer.alive.end(), uint8_t{1}));
      top_k(scores, layer.alive, kept.back());  // refuses scores that are not numbers
      for (int64_t unit = 0; unit < layer.units; ++unit) {
        const auto u = static_cast<size_t>(unit);
        if (layer.alive[u] == 0) {
          weights.remove(l, unit);
        } else {
          order.push_back({scores[u], l, unit});
        }
      }
    }
    // The lowest last, of equal ones the last in the network: what top_k keeps stands in front.
    std::stable_sort(order.begin(), order.end(), [](const Channel& a, const Channel& b) {
      return a.score > b.score;
    });
    const int64_t budget = kept_count(weights.total(), target);
    while (weights.left() > budget && !order.empty()) {
      const Channel& last = order.back();
      if (last.score == std::numeric_limits<double>::infinity()) break;
      weights.remove(last.layer, last.unit);
      --kept[last.layer];
      order.pop_back();
    }
    return kept;
  }

 private:
  struct Channel {
    double score;
    size_t layer;
    int64_t unit;
  };

  /// The `at_least` units of a layer that must stay go before all others.
  static void protect(const SiteScores& layer, std::span<double> scores) {
    const int64_t alive = std::count(layer.alive.begin(), layer.alive.end(), uint8_t{1});
    const auto best =
        top_k(layer.scores, layer.alive, std::min(layer.at_least, alive), layer.first);
    for (size_t i = 0; i < best.size(); ++i) {
      if (best[i] != 0) scores[i] = std::numeric_limits<double>::infinity();
    }
  }

  /// The best units, in order of score, up to the first whose weights no longer fit.
  static std::vector<uint8_t> best_within(const std::vector<double>& scores,
                                          const std::vector<uint8_t>& alive,
                                          const std::vector<int64_t>& weights,
                                          int64_t budget) {
    const int64_t candidates = std::count(alive.begin(), alive.end(), uint8_t{1});
    const bool equal =
        std::adjacent_find(weights.begin(), weights.end(), std::not_equal_to<>()) == weights.end();
    if (equal) {
      const int64_t size = weights.empty() ? 1 : std::max<int64_t>(weights.front(), 1);
      return top_k(scores, alive, std::min(budget / size, candidates));
    }
    std::vector<size_t> order;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (alive[i] != 0) order.push_back(i);
    }
    top_k(scores, alive, candidates);  // refuses scores that are not numbers
    std::stable_sort(
        order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    std::vector<uint8_t> stays(scores.size(), 0);
    for (size_t i : order) {
      if (weights[i] > budget) break;
      budget -= weights[i];
      stays[i] = 1;
    }
    return stays;
  }
};

}  // namespace

std::unique_ptr<Allocation> global_allocation() {
  return std::make_unique<GlobalAllocation>();
}

}  // namespace espalier::prune
