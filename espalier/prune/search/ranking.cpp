// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/search/ranking.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/prune/ground/select.h>

namespace espalier::prune {
namespace {

/// s falls to 1 - 1 / kFall.
constexpr double kFall = 1.25;

double deviation_of(const std::vector<double>& scores) {
  const auto count = static_cast<double>(std::max<size_t>(scores.size(), 1));
  const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / count;
  double squares = 0.0;
  for (const double score : scores) squares += (score - mean) * (score - mean);
  return std::sqrt(squares / count);
}

class RankingSearch : public RatioSearch {
 public:
  explicit RankingSearch(const RankingOptions& options) : options_(options) {}

  Candidate search(const RatioTask& task) override {
    std::vector<double> deviations;
    for (const std::vector<double>& scores : task.scores) {
      deviations.push_back(deviation_of(scores));
    }
    const std::unique_ptr<Search> search = evolution_of(deviations, task.seed);
    search->load_state(task.saved);
    while (static_cast<int64_t>(search->rewards().size()) < options_.candidates) {
      const Candidate ranking = search->propose();
      search->tell(ranking, task.evaluate(ranked_ratios(task, ranking, options_.least)).accuracy());
      if (task.keep) task.keep(search->state());
    }
    const size_t best = search->best();
    if (task.notes != nullptr) {
      task.notes->push_back(fmt::format(
          "of {} searched rankings number {} is the best, with an accuracy of {:.4f} on samples "
          "set apart; number 1, of the scores as they are, has {:.4f}",
          options_.candidates,
          best + 1,
          search->rewards()[best],
          search->rewards().front()));
    }
    return ranked_ratios(task, search->candidates()[best], options_.least);
  }

 private:
  /// How far factors move when `told` rankings are known.
  double step(int64_t told) const {
    return 1.0 - static_cast<double>(told) / (kFall * static_cast<double>(options_.candidates));
  }

  std::unique_ptr<Search> evolution_of(const std::vector<double>& deviations, uint64_t seed) const {
    const auto moved = [this, deviations](size_t gene, double value, int64_t told, Rng& rng) {
      if (gene % 2 == 0) return value * std::exp(step(told) * rng.normal());
      return value + deviations[gene / 2] * rng.normal();
    };
    Candidate plain;
    for (size_t p = 0; p < deviations.size(); ++p) plain.insert(plain.end(), {1.0, 0.0});
    std::vector<Candidate> first = {plain};
    for (int64_t i = 1; i < options_.population; ++i) {
      Rng rng = Rng(seed, "ranking").fork(static_cast<uint64_t>(i));
      Candidate one = plain;
      for (size_t g = 0; g < one.size(); ++g) one[g] = moved(g, one[g], i, rng);
      first.push_back(std::move(one));
    }
    return evolution(std::vector<Gene>(plain.size()),
                     {.rule = Parents::Tournament,
                      .population = options_.population,
                      .parents = options_.parents,
                      .mutated = options_.mutated,
                      .first = std::move(first),
                      .mutate = moved},
                     seed);
  }

  RankingOptions options_;
};

}  // namespace

std::shared_ptr<RatioSearch> ranking_search(const RankingOptions& options) {
  return std::make_shared<RankingSearch>(options);
}

Candidate ranked_ratios(const RatioTask& task, const Candidate& ranking, double least) {
  ESPALIER_CHECK(
      ranking.size() == 2 * task.places.size() && task.scores.size() == task.places.size(),
      ShapeError,
      "ranked_ratios: expects scores of and two numbers for each of ",
      task.places.size(),
      " places, got ",
      task.scores.size(),
      " and ",
      ranking.size());
  struct Unit {
    double rank;
    size_t place;
  };
  std::vector<Unit> going;  // those that may, in the order of places, each from its best on
  for (size_t p = 0; p < task.places.size(); ++p) {
    std::vector<double> ranks;
    for (const double score : task.scores[p]) {
      ranks.push_back(ranking[2 * p] * score + ranking[2 * p + 1]);
    }
    std::ranges::sort(ranks, std::greater<>());
    const int64_t floor = guarded_ceil(least * static_cast<double>(task.places[p].units));
    const auto stay = static_cast<size_t>(std::max<int64_t>(floor, 1));
    for (size_t u = stay; u < ranks.size(); ++u) going.push_back({ranks[u], p});
  }
  std::ranges::stable_sort(going, [](const Unit& a, const Unit& b) { return a.rank > b.rank; });
  const auto without = [&](int64_t gone) {
    std::vector<int64_t> kept;
    for (const SearchedSite& place : task.places) kept.push_back(place.units);
    for (int64_t i = 0; i < gone; ++i)
      --kept[going[going.size() - 1 - static_cast<size_t>(i)].place];
    Candidate ratios;
    for (size_t p = 0; p < kept.size(); ++p) {
      ratios.push_back(static_cast<double>(kept[p]) / static_cast<double>(task.places[p].units));
    }
    return ratios;
  };
  // What a network costs only falls, so that the first that fits is found by halving.
  int64_t low = -1;
  auto high = static_cast<int64_t>(going.size());
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (task.cost(without(middle)) <= task.budget * (1.0 + 1e-12) ? high : low) = middle;
  }
  return without(high);
}

}  // namespace espalier::prune
