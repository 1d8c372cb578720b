// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <gtest/gtest.h>

#include <espalier/core/random.h>
#include <espalier/prune/ground/select.h>

namespace espalier::prune {
namespace {

using Flags = std::vector<uint8_t>;

TEST(Counts, ProductsThatShouldBeWholeAreWhole) {
  EXPECT_EQ(guarded_floor(3 * (1 / 3.0)), 1);
  EXPECT_EQ(guarded_floor(16 * (1 - 0.7)), 4);
  EXPECT_EQ(guarded_floor(0.29 * 100), 29);  // 28.999999999999996
  EXPECT_EQ(guarded_ceil(0.2 * 35), 7);      // 7.000000000000001
}

TEST(Counts, RemovedIsTheNearestNumber) {
  EXPECT_EQ(removed_count(10, Sparsity(0.5)), 5);
  EXPECT_EQ(removed_count(3, Sparsity(0.5)), 2);  // halves up
  EXPECT_EQ(removed_count(7, Sparsity(0.9)), 6);
  EXPECT_EQ(removed_count(0, Sparsity(0.9)), 0);
  EXPECT_EQ(kept_count(1000, Sparsity(0.9)), 100);
  EXPECT_EQ(kept_count(1000, Sparsity(1.0)), 0);
}

TEST(Counts, LotteryRoundsFollowTheCard) {
  // 20 % of what is alive, rounded up: 1000 > 800 > 640 > 512 > 409 > 327.
  int64_t alive = 1000;
  for (int64_t expected : {800, 640, 512, 409, 327}) {
    alive -= guarded_ceil(0.2 * static_cast<double>(alive));
    EXPECT_EQ(alive, expected);
  }
}

TEST(Apportion, SumsToTheRoundedTotal) {
  const std::vector<double> wanted = {1.5, 2.25, 3.25};
  EXPECT_EQ(apportion(wanted), (std::vector<int64_t>{2, 2, 3}));
}

TEST(Apportion, GivesTiesToTheFirst) {
  const std::vector<double> wanted = {0.5, 0.5, 0.5, 0.5};
  EXPECT_EQ(apportion(wanted), (std::vector<int64_t>{1, 1, 0, 0}));
}

TEST(ShareWithin, BoundsTakeFromTheOthersInProportion) {
  const std::vector<double> parts = {1, 2, 3};
  const std::vector<double> none(3, 0.0);
  const std::vector<double> room(3, 100.0);
  EXPECT_EQ(share_within(parts, none, room, 12), (std::vector<double>{2, 4, 6}));
  // The last may have 3: 9 are left for 1 : 2. The first must have 5: 7 are left for 2 : 3.
  EXPECT_EQ(share_within(parts, none, std::vector<double>{100, 100, 3}, 12),
            (std::vector<double>{3, 6, 3}));
  const auto raised = share_within(parts, std::vector<double>{5, 0, 0}, room, 12);
  EXPECT_EQ(raised[0], 5.0);
  EXPECT_DOUBLE_EQ(raised[1], 2.8);
  EXPECT_DOUBLE_EQ(raised[2], 4.2);
  // Both bounds at once: 4 are left for the one in the middle.
  EXPECT_EQ(share_within(parts, std::vector<double>{5, 0, 0}, std::vector<double>{9, 9, 3}, 12),
            (std::vector<double>{5, 4, 3}));
}

TEST(ShareWithin, CutsTotalsToTheBounds) {
  const std::vector<double> parts = {1, 0, 3};
  const std::vector<double> least = {1, 2, 0};
  const std::vector<double> most = {4, 5, 6};
  EXPECT_EQ(share_within(parts, least, most, 1), (std::vector<double>{1, 2, 0}));
  EXPECT_EQ(share_within(parts, least, most, 99), (std::vector<double>{4, 2, 6}));
  EXPECT_TRUE(share_within({}, {}, {}, 3).empty());
  EXPECT_THROW(share_within(parts, {}, most, 3), ShapeError);
}

TEST(TopK, KeepsTheHighest) {
  const std::vector<double> scores = {3, 1, 4, 1, 5};
  EXPECT_EQ(top_k(scores, {}, 2), (Flags{0, 0, 1, 0, 1}));
}

TEST(TopK, BreaksTiesByIndex) {
  const std::vector<double> scores = {0, 2, 2, 2, 0};
  EXPECT_EQ(top_k(scores, {}, 2), (Flags{0, 1, 1, 0, 0}));
  const std::vector<double> zeros(5, 0.0);
  EXPECT_EQ(top_k(zeros, {}, 3), (Flags{1, 1, 1, 0, 0}));
}

TEST(TopK, NeverTakesANonCandidate) {
  const std::vector<double> scores = {9, 0, 0};
  const Flags candidates = {0, 1, 1};
  EXPECT_EQ(top_k(scores, candidates, 2), (Flags{0, 1, 1}));
  EXPECT_THROW(top_k(scores, candidates, 3), ValueError);
}

TEST(TopK, AcceptsNoneAllAndInfinite) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> scores = {-inf, inf, 0};
  EXPECT_EQ(top_k(scores, {}, 0), (Flags{0, 0, 0}));
  EXPECT_EQ(top_k(scores, {}, 1), (Flags{0, 1, 0}));
  EXPECT_EQ(top_k(scores, {}, 3), (Flags{1, 1, 1}));
  EXPECT_TRUE(top_k({}, {}, 0).empty());
}

TEST(TopK, RefusesNanAndBadK) {
  const std::vector<double> scores = {1, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_THROW(top_k(scores, {}, 1), ValueError);
  const std::vector<double> good = {1, 2};
  EXPECT_THROW(top_k(good, {}, -1), ValueError);
  EXPECT_THROW(top_k(good, {}, 3), ValueError);
}

TEST(TopK, IgnoresNanOfNonCandidates) {
  const std::vector<double> scores = {std::numeric_limits<double>::quiet_NaN(), 1, 2};
  const Flags candidates = {0, 1, 1};
  EXPECT_EQ(top_k(scores, candidates, 1), (Flags{0, 0, 1}));
}

TEST(TopK, AgreesWithSortingOnManyTies) {
  Rng rng(11);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<double> scores(40);
    for (double& score : scores) score = static_cast<double>(rng.below(5));
    std::vector<size_t> order(scores.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(
        order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    const auto k = static_cast<size_t>(rng.below(41));
    Flags expected(scores.size(), 0);
    for (size_t i = 0; i < k; ++i) expected[order[i]] = 1;
    EXPECT_EQ(top_k(scores, {}, static_cast<int64_t>(k)), expected);
  }
}

TEST(TopKInCells, KeepsTheSameNumberInEveryCell) {
  const std::vector<double> scores = {1, 2, 3, 4, 8, 7, 6, 5};
  EXPECT_EQ(top_k_in_cells(scores, {}, 2, 4), (Flags{0, 0, 1, 1, 1, 1, 0, 0}));
  EXPECT_THROW(top_k_in_cells(scores, {}, 2, 3), ValueError);
}

TEST(TopKInCells, KeepsAllOfACellThatHasFewer) {
  const std::vector<double> scores = {1, 2, 3, 4};
  const Flags candidates = {0, 0, 1, 0};
  EXPECT_EQ(top_k_in_cells(scores, candidates, 2, 4), (Flags{0, 0, 1, 0}));
}

}  // namespace
}  // namespace espalier::prune
