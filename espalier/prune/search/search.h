// SPDX-License-Identifier: Apache-2.0
/// Search: proposes candidates and is told what each was worth. What it proposes is a pure function
/// of its seed and of what it was told, so that what it must remember is that alone.
#pragma once

#include <functional>
#include <memory>

#include <espalier/core/random.h>
#include <espalier/prune/search/candidate.h>

namespace espalier::prune {

/// The values that one number of a candidate may have.
struct Gene {
  double low = 0.0;     ///< the least
  double high = 1.0;    ///< the largest
  int64_t choices = 0;  ///< so many values in equal distances, ends included; 0: any between them
};

/// Proposes candidates; a higher reward is better.
class Search {
 public:
  virtual ~Search() = default;
  /// The next candidate; the same until it was told of one.
  virtual Candidate propose() = 0;
  /// What a candidate was worth: the one proposed, or what has become of it.
  void tell(const Candidate& candidate, double reward);

  /// What was told, in order.
  const std::vector<Candidate>& candidates() const { return candidates_; }
  /// The rewards of these.
  const std::vector<double>& rewards() const { return rewards_; }
  /// The number of the best, the first of equal ones. Throws ValueError before any was told.
  size_t best() const;

  /// What was told.
  SearchState state() const;
  /// Takes over what `state()` gave.
  void load_state(const SearchState& state);

 private:
  std::vector<Candidate> candidates_;
  std::vector<double> rewards_;
};

/// Uniform random numbers: what any other search must beat. (random.cpp)
std::unique_ptr<Search> random_search(std::vector<Gene> genes, uint64_t seed);

/// Which candidates have children.
enum class Parents : uint8_t {
  /// The `parents` best of all so far have the next `population` children: `mutants` of one parent,
  /// `crossovers` of two, the others random. Source: Liu et al., arXiv 1903.10258.
  Best,
  /// The best of `parents` random ones of the newest `population` has one mutant, with which the
  /// oldest leaves. Source: Real et al., arXiv 1802.01548.
  Tournament
};
/// Settings of an evolution.
struct EvolutionOptions {
  Parents rule = Parents::Best;  ///< which candidates have children
  int64_t population = 50;       ///< candidates at a time; the first of them are random
  int64_t parents = 10;          ///< best ones, or drawn ones
  int64_t mutants = 25;          ///< of Best: children of one parent
  int64_t crossovers = 25;       ///< of Best: children whose genes are of either of two parents
  double mutated = 0.1;          ///< share of a mutant's genes that change, in the mean
  std::vector<Candidate> first = {};  ///< proposed before all others
  /// A mutated gene, from the old one; empty: drawn anew. `told` candidates are known.
  std::function<double(size_t gene, double value, int64_t told, Rng& rng)> mutate = {};
};
/// Candidates that descend from good ones. Throws ValueError for options that contradict.
/// (evolution.cpp)
std::unique_ptr<Search> evolution(std::vector<Gene> genes,
                                  const EvolutionOptions& options,
                                  uint64_t seed);

/// A value of a gene.
double draw(const Gene& gene, Rng& rng);
/// A candidate with a drawn value in each gene.
Candidate draw(const std::vector<Gene>& genes, Rng& rng);

}  // namespace espalier::prune
