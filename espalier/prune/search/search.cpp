// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/search/search.h>

#include <algorithm>

#include <espalier/core/error.h>

namespace espalier::prune {

void Search::tell(const Candidate& candidate, double reward) {
  candidates_.push_back(candidate);
  rewards_.push_back(reward);
}

size_t Search::best() const {
  ESPALIER_CHECK(!rewards_.empty(), ValueError, "search: no candidate was tried yet");
  const auto best = std::ranges::max_element(rewards_);
  return static_cast<size_t>(best - rewards_.begin());
}

SearchState Search::state() const {
  if (rewards_.empty()) return {};
  std::vector<double> all;
  for (const Candidate& one : candidates_) all.insert(all.end(), one.begin(), one.end());
  const auto told = static_cast<int64_t>(rewards_.size());
  const auto places = static_cast<int64_t>(candidates_.front().size());
  return {{"candidates", Tensor::from<double>({told, places}, all)},
          {"rewards", Tensor::from<double>({told}, rewards_)}};
}

void Search::load_state(const SearchState& state) {
  candidates_.clear();
  rewards_.clear();
  if (!state.contains("rewards")) return;
  rewards_ = state.at("rewards").to_vector<double>();
  const auto all = state.at("candidates").to_vector<double>();
  const auto places = static_cast<std::ptrdiff_t>(state.at("candidates").size(1));
  for (auto begin = all.begin(); begin != all.end(); begin += places) {
    candidates_.emplace_back(begin, begin + places);
  }
}

double draw(const Gene& gene, Rng& rng) {
  if (gene.choices == 0) return rng.uniform(gene.low, gene.high);
  if (gene.choices == 1) return gene.low;
  const double step = (gene.high - gene.low) / static_cast<double>(gene.choices - 1);
  return gene.low + step * static_cast<double>(rng.below(static_cast<uint64_t>(gene.choices)));
}

Candidate draw(const std::vector<Gene>& genes, Rng& rng) {
  Candidate candidate;
  for (const Gene& gene : genes) candidate.push_back(draw(gene, rng));
  return candidate;
}

}  // namespace espalier::prune
