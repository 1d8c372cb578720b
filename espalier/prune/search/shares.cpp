// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/search/shares.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/core/error.h>

namespace espalier::prune {
namespace {

constexpr double kRounding = 1e-12;  // of sums of whole numbers times shares
constexpr uint64_t kTries = 20;      // of a candidate within the budget

/// The shares nearest to widths that whole units make, of one unit at least.
Candidate of_whole_units(const RatioTask& task, const Candidate& widths) {
  Candidate shares;
  for (size_t p = 0; p < widths.size(); ++p) {
    const auto units = static_cast<double>(task.places[p].units);
    shares.push_back(std::clamp(std::round(widths[p] * units), 1.0, units) / units);
  }
  return shares;
}

class SharesSearch : public RatioSearch {
 public:
  explicit SharesSearch(const SharesOptions& options) : options_(options) {}

  Candidate search(const RatioTask& task) override {
    Tries tries;
    for (uint64_t t = 0; t < kTries; ++t) {
      tries.push_back(evolution_of(task, Rng(task.seed, "tries").fork(t).next_u32()));
      tries.back()->load_state(task.saved);
    }
    const Search& known = *tries.front();  // all are told the same
    while (static_cast<int64_t>(known.rewards().size()) < options_.candidates) {
      const Candidate widths = next(task, tries);
      const double reward = task.evaluate(of_whole_units(task, widths)).accuracy();
      for (const auto& one : tries) one->tell(widths, reward);
      if (task.keep) task.keep(known.state());
    }
    const Candidate result = of_whole_units(task, known.candidates()[known.best()]);
    tell(task, known, result);
    return result;
  }

 private:
  using Tries = std::vector<std::unique_ptr<Search>>;

  double width(int64_t choice) const {
    return options_.least + (1.0 - options_.least) * static_cast<double>(choice) /
                                static_cast<double>(options_.widths - 1);
  }

  int64_t choice_of(double width) const {
    return std::llround((width - options_.least) / (1.0 - options_.least) *
                        static_cast<double>(options_.widths - 1));
  }

  std::unique_ptr<Search> evolution_of(const RatioTask& task, uint64_t seed) const {
    const int64_t mutants = options_.population / 2;
    return evolution(
        std::vector<Gene>(task.places.size(),
                          {.low = options_.least, .high = 1.0, .choices = options_.widths}),
        {.rule = Parents::Best,
         .population = options_.population,
         .parents = options_.parents,
         .mutants = mutants,
         .crossovers = options_.population - mutants,
         .mutated = options_.mutated},
        seed);
  }

  static bool fits(const RatioTask& task, const Candidate& widths) {
    return task.cost(of_whole_units(task, widths)) <= task.budget * (1.0 + kRounding);
  }

  /// The first try that fits, or the last with widths lowered at random until it does.
  Candidate next(const RatioTask& task, const Tries& tries) const {
    Candidate widths;
    for (const auto& one : tries) {
      widths = one->propose();
      if (fits(task, widths)) return widths;
    }
    Rng rng = Rng(task.seed, "lowered").fork(tries.front()->rewards().size());
    while (!fits(task, widths)) {
      std::vector<size_t> high;
      for (size_t p = 0; p < widths.size(); ++p) {
        if (choice_of(widths[p]) > 0) high.push_back(p);
      }
      if (high.empty()) break;
      double& lowered = widths[high[rng.below(high.size())]];
      lowered = width(choice_of(lowered) - 1);
    }
    return widths;
  }

  void tell(const RatioTask& task, const Search& known, const Candidate& result) const {
    if (task.notes == nullptr) return;
    task.notes->push_back(
        fmt::format("of {} searched networks, {} of them in a generation, number {} is the best, "
                    "with an accuracy of {:.4f} on samples set apart",
                    options_.candidates,
                    options_.population,
                    known.best() + 1,
                    known.rewards()[known.best()]));
    if (!fits(task, result)) {
      task.notes->push_back(fmt::format(
          "the target is below what layers of {:g} of their units leave", options_.least));
    }
  }

  SharesOptions options_;
};

}  // namespace

std::shared_ptr<RatioSearch> shares_search(const SharesOptions& options) {
  ESPALIER_CHECK(options.widths >= 2 && options.least > 0.0 && options.least < 1.0,
                 ValueError,
                 "shares_search: expects two widths or more, the smallest between 0 and 1");
  return std::make_shared<SharesSearch>(options);
}

}  // namespace espalier::prune
