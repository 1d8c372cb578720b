// SPDX-License-Identifier: Apache-2.0
/// Random search.
#include <espalier/prune/search/search.h>

namespace espalier::prune {
namespace {

class RandomSearch : public Search {
 public:
  RandomSearch(std::vector<Gene> genes, uint64_t seed) : genes_(std::move(genes)), seed_(seed) {}
  Candidate propose() override {
    Rng rng = Rng(seed_, "random search").fork(rewards().size());
    return draw(genes_, rng);
  }

 private:
  std::vector<Gene> genes_;
  uint64_t seed_;
};

}  // namespace

std::unique_ptr<Search> random_search(std::vector<Gene> genes, uint64_t seed) {
  return std::make_unique<RandomSearch>(std::move(genes), seed);
}

}  // namespace espalier::prune
