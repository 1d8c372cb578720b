// SPDX-License-Identifier: Apache-2.0
/// Evolution, by generations or one child at a time.
#include <algorithm>
#include <numeric>

#include <espalier/core/error.h>
#include <espalier/prune/search/search.h>

namespace espalier::prune {
namespace {

class Evolution : public Search {
 public:
  Evolution(std::vector<Gene> genes, const EvolutionOptions& options, uint64_t seed)
      : genes_(std::move(genes)), options_(options), seed_(seed) {
    ESPALIER_CHECK(options.population >= 1 && options.parents >= 1 &&
                       options.parents <= options.population && options.mutants >= 0 &&
                       options.crossovers >= 0 && options.mutated >= 0.0 && options.mutated <= 1.0,
                   ValueError,
                   "evolution: expects 1 <= parents <= population, no negative number of children, "
                   "and a share of mutated genes in 0 .. 1");
    for (const Candidate& one : options.first) {
      ESPALIER_CHECK(one.size() == genes_.size(),
                     ShapeError,
                     "evolution: a first candidate has ",
                     one.size(),
                     " numbers, expected ",
                     genes_.size());
    }
  }

  Candidate propose() override {
    const auto told = static_cast<int64_t>(rewards().size());
    if (told < static_cast<int64_t>(options_.first.size())) {
      return options_.first[static_cast<size_t>(told)];
    }
    Rng rng = Rng(seed_, "evolution").fork(static_cast<uint64_t>(told));
    if (told < options_.population) return draw(genes_, rng);
    return options_.rule == Parents::Best ? child_of_best(told, rng) : child_of_winner(told, rng);
  }

 private:
  const Candidate& candidate(int64_t number) const {
    return candidates()[static_cast<size_t>(number)];
  }

  Candidate child_of_best(int64_t told, Rng& rng) const {
    const int64_t place = told % options_.population;
    std::vector<int64_t> known(static_cast<size_t>(told - place));
    std::iota(known.begin(), known.end(), int64_t{0});
    std::ranges::stable_sort(known, [&](int64_t a, int64_t b) {
      return rewards()[static_cast<size_t>(a)] > rewards()[static_cast<size_t>(b)];
    });
    const auto parent = [&]() -> const Candidate& {
      return candidate(known[rng.below(static_cast<uint64_t>(options_.parents))]);
    };
    if (place < options_.mutants) return mutant(parent(), told, rng);
    if (place >= options_.mutants + options_.crossovers) return draw(genes_, rng);
    Candidate child = parent();
    const Candidate& other = parent();
    for (size_t g = 0; g < child.size(); ++g) {
      if (rng.below(2) == 1) child[g] = other[g];
    }
    return child;
  }

  Candidate child_of_winner(int64_t told, Rng& rng) const {
    const std::vector<int64_t> drawn = rng.permutation(options_.population);
    int64_t winner = -1;
    for (int64_t i = 0; i < options_.parents; ++i) {
      const int64_t one = told - options_.population + drawn[static_cast<size_t>(i)];
      const auto reward = [&](int64_t number) { return rewards()[static_cast<size_t>(number)]; };
      if (winner < 0 || reward(one) > reward(winner)) winner = one;
    }
    return mutant(candidate(winner), told, rng);
  }

  Candidate mutant(Candidate child, int64_t told, Rng& rng) const {
    for (size_t g = 0; g < child.size(); ++g) {
      if (rng.uniform64() >= options_.mutated) continue;
      child[g] = options_.mutate ? options_.mutate(g, child[g], told, rng) : draw(genes_[g], rng);
    }
    return child;
  }

  std::vector<Gene> genes_;
  EvolutionOptions options_;
  uint64_t seed_;
};

}  // namespace

std::unique_ptr<Search> evolution(std::vector<Gene> genes,
                                  const EvolutionOptions& options,
                                  uint64_t seed) {
  return std::make_unique<Evolution>(std::move(genes), options, seed);
}

}  // namespace espalier::prune
