// SPDX-License-Identifier: Apache-2.0
/// LeGR: the card's ranking, another program's numbers (oracles/legr.py), and the traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/prune/search/ranking.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

/// Places with these scores; a network costs the share of units that it keeps.
struct Places {
  explicit Places(std::vector<std::vector<double>> of_units) : scores(std::move(of_units)) {
    for (const std::vector<double>& one : scores) {
      task.places.push_back({.name = "place", .units = static_cast<int64_t>(one.size())});
    }
    task.scores = scores;
    task.cost = [this](const Candidate& ratios) {
      double kept = 0.0;
      double all = 0.0;
      for (size_t p = 0; p < ratios.size(); ++p) {
        const auto units = static_cast<double>(scores[p].size());
        kept += ratios[p] * units;
        all += units;
      }
      return kept / all;
    };
  }
  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;

  /// Units kept of each place.
  std::vector<int64_t> kept(double budget, const Candidate& ranking, double least = 0.0) {
    task.budget = budget;
    std::vector<int64_t> kept;
    const Candidate ratios = ranked_ratios(task, ranking, least);
    for (size_t p = 0; p < ratios.size(); ++p) {
      kept.push_back(std::llround(ratios[p] * static_cast<double>(scores[p].size())));
    }
    return kept;
  }

  std::vector<std::vector<double>> scores;
  RatioTask task;
};

using Kept = std::vector<int64_t>;

TEST(LegrRanking, OrderIsThatOfTheCard) {
  // Squared norms (1, 4) and (2, 3), factors 1 and 2, shifts 0 and -1: (1, 4) and (3, 5), so that
  // f10, f20, f11, f21 go in this order. A third filter of each stays.
  Places places({{1, 4, 100}, {2, 3, 100}});
  const Candidate card = {1, 0, 2, -1};
  EXPECT_EQ(places.kept(5 / 6.0, card), (Kept{2, 3}));
  EXPECT_EQ(places.kept(4 / 6.0, card), (Kept{2, 2}));
  EXPECT_EQ(places.kept(3 / 6.0, card), (Kept{1, 2}));
  EXPECT_EQ(places.kept(2 / 6.0, card), (Kept{1, 1}));
}

TEST(LegrRanking, OneAndZeroIsTheGlobalRanking) {
  Places places({{1, 4, 100}, {2, 3, 100}});
  const Candidate plain = {1, 0, 1, 0};
  EXPECT_EQ(places.kept(5 / 6.0, plain), (Kept{2, 3}));  // 1, 2, 3, 4
  EXPECT_EQ(places.kept(4 / 6.0, plain), (Kept{2, 2}));
  EXPECT_EQ(places.kept(3 / 6.0, plain), (Kept{2, 1}));
}

TEST(LegrRanking, ACommonFactorChangesNothing) {
  Places places({{1, 4, 7, 3}, {2, 3, 6, 5}});
  for (const double budget : {0.9, 0.7, 0.5, 0.3}) {
    EXPECT_EQ(places.kept(budget, {1, 0, 2, -1}), places.kept(budget, {8, 0, 16, -8})) << budget;
  }
}

TEST(LegrRanking, NoPlaceLosesMoreThanItMay) {
  Places places({std::vector<double>(20, 1.0), std::vector<double>(20, 9.0)});
  EXPECT_EQ(places.kept(0.5, {1, 0, 1, 0}, 0.1), (Kept{2, 18}));
  EXPECT_EQ(places.kept(0.01, {1, 0, 1, 0}, 0.1), (Kept{2, 2}));  // as near as may be
}

TEST(LegrSearch, FindsARankingBeyondThePlainOne) {
  // The network is worth what its second place keeps, of which the plain ranking keeps least.
  Places places({{5, 6, 7, 8, 9, 10}, {3, 3.5, 4, 4.2, 4.5, 4.8}});
  places.task.budget = 0.5;
  std::vector<Candidate> tried;
  places.task.evaluate = [&](const Candidate& ratios) {
    tried.push_back(ratios);
    return nn::Evaluation{.correct = std::llround(ratios[1] * 6), .total = 6};
  };
  std::vector<std::string> notes;
  places.task.notes = &notes;
  places.task.seed = 3;
  const RankingOptions options{.candidates = 40, .population = 8, .parents = 4, .mutated = 0.5};
  const Candidate best = ranking_search(options)->search(places.task);
  ASSERT_EQ(tried.size(), 40U);
  EXPECT_EQ(tried[0][1], 1.0 / 6);  // the identity comes first
  EXPECT_GT(best[1], 0.5);
  EXPECT_LE(places.task.cost(best), 0.5 + 1e-12);
  EXPECT_EQ(notes.size(), 1U);
}

TEST(LegrSearch, ResumesWithTheSameCandidates) {
  Places places({{5, 6, 7, 8, 9, 10}, {3, 3.5, 4, 4.2, 4.5, 4.8}});
  places.task.budget = 0.5;
  places.task.seed = 3;
  std::vector<Candidate> tried;
  places.task.evaluate = [&](const Candidate& ratios) {
    tried.push_back(ratios);
    return nn::Evaluation{.correct = std::llround(ratios[1] * 6), .total = 6};
  };
  SearchState middle;
  places.task.keep = [&](const SearchState& state) {
    if (tried.size() == 10) middle = state;
  };
  const RankingOptions options{.candidates = 20, .population = 6, .parents = 3, .mutated = 0.5};
  const Candidate whole = ranking_search(options)->search(places.task);
  const std::vector<Candidate> all = tried;
  tried.clear();
  places.task.saved = middle;
  places.task.keep = {};
  EXPECT_EQ(ranking_search(options)->search(places.task), whole);
  EXPECT_EQ(tried, std::vector<Candidate>(all.begin() + 10, all.end()));
}

TEST(Legr, ScoresAreSquaredNorms) {
  // Trap: norms before the square, 2.8 and 3 of these rows in place of 8 and 9.
  auto net = testing::linear_chain({{{2, 2}, {2, 2, 3, 0}}});
  Rng rng(1);
  const auto weights = prunable_weights(*net);
  const PruneInputs inputs;
  const auto scores = square_score()->compute({*net, weights, inputs, rng});
  EXPECT_EQ(scores[0].to_vector<double>(), (std::vector<double>{4, 4, 9, 0}));
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/legr.inc>
  };
  return values;
}

TEST(LegrOracle, RankingsKeepWhatTheScriptKeeps) {
  Places places({oracle().at("norms 0"), oracle().at("norms 1"), oracle().at("norms 2")});
  places.task.cost = [](const Candidate& ratios) {
    const std::vector<double> rows = {3, ratios[0] * 5, ratios[1] * 7, ratios[2] * 4, 10};
    double weights = 0.0;
    for (size_t l = 0; l + 1 < rows.size(); ++l) weights += rows[l] * rows[l + 1];
    return weights / (15 + 35 + 28 + 40);
  };
  for (int ranking = 0; ranking < 3; ++ranking) {
    for (const char* budget : {"0.75", "0.5", "0.3", "0.05"}) {
      const std::vector<double>& right = oracle().at(cat("kept ", ranking, " ", budget));
      EXPECT_EQ(places.kept(std::stod(budget), oracle().at(cat("ranking ", ranking)), 0.25),
                Kept(right.begin(), right.end()))
          << ranking << " " << budget;
    }
  }
}

}  // namespace
}  // namespace espalier::prune
