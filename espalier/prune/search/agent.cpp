// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/search/agent.h>

namespace espalier::prune {
namespace {

class SearchAgent : public Agent {
 public:
  explicit SearchAgent(std::unique_ptr<Search> search) : search_(std::move(search)) {}
  double act(std::span<const double>) override {
    if (next_ == 0) proposed_ = search_->propose();
    return proposed_.at(next_++);
  }
  void finish(const Candidate& candidate, double reward) override {
    search_->tell(candidate, reward);
    next_ = 0;
  }
  SearchState state() const override { return search_->state(); }
  void load_state(const SearchState& state) override { search_->load_state(state); }

 private:
  std::unique_ptr<Search> search_;
  Candidate proposed_;
  size_t next_ = 0;
};

}  // namespace

std::unique_ptr<Agent> agent_of(std::unique_ptr<Search> search) {
  return std::make_unique<SearchAgent>(std::move(search));
}

}  // namespace espalier::prune
