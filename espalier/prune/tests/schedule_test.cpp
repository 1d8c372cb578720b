// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

constexpr double kTolerance = 1e-12;

TEST(CubicSchedule, FollowsTheHandWorkedValues) {
  const auto updates = cubic_schedule({.begin = 0.1, .end = 0.5, .frequency = 10})
                           ->moments({.steps = 100}, Sparsity(0.9));
  const double expected[] = {0.0, 0.5203125, 0.7875, 0.8859375, 0.9};
  ASSERT_EQ(updates.size(), 5U);
  for (size_t k = 0; k < 5; ++k) {
    EXPECT_EQ(updates[k].step, 10 + 10 * static_cast<int64_t>(k));
    EXPECT_NEAR(updates[k].sparsity.value(), expected[k], kTolerance);
  }
  EXPECT_EQ(updates.back().sparsity, Sparsity(0.9));
}

TEST(CubicSchedule, StartsAtTheInitialSparsity) {
  const auto updates =
      cubic_schedule({.begin = 0, .end = 1, .frequency = 50, .initial = Sparsity(0.5)})
          ->moments({.steps = 100}, Sparsity(0.9));
  ASSERT_EQ(updates.size(), 3U);
  EXPECT_NEAR(updates[0].sparsity.value(), 0.5, kTolerance);
  EXPECT_NEAR(updates[1].sparsity.value(), 0.9 - 0.4 / 8, kTolerance);
  EXPECT_EQ(updates[2].step, 100);
}

TEST(CubicSchedule, ReachesTheEndWhenTrainingIsShort) {
  const auto cubic = cubic_schedule({.begin = 0.2, .end = 0.75, .frequency = 100});
  for (int64_t total : {0, 1, 3, 10, 99}) {
    const auto updates = cubic->moments({.steps = total}, Sparsity(0.9));
    ASSERT_FALSE(updates.empty());
    EXPECT_EQ(updates.back().sparsity, Sparsity(0.9)) << total;
    EXPECT_LE(updates.back().step, total) << total;
  }
}

TEST(CubicSchedule, RefusesWhatCannotBe) {
  EXPECT_THROW(cubic_schedule({.begin = 0.8, .end = 0.2}), ValueError);
  EXPECT_THROW(cubic_schedule({.frequency = 0}), ValueError);
  EXPECT_THROW(cubic_schedule({.initial = Sparsity(0.95)})->moments({.steps = 100}, Sparsity(0.9)),
               ValueError);
}

TEST(IterativeSchedule, ShrinksTheKeptFractionGeometrically) {
  const auto updates = iterative_schedule(3, 1.0)->moments({.steps = 90}, Sparsity(0.875));
  ASSERT_EQ(updates.size(), 3U);
  EXPECT_NEAR(updates[0].sparsity.value(), 0.5, kTolerance);
  EXPECT_NEAR(updates[1].sparsity.value(), 0.75, kTolerance);
  EXPECT_EQ(updates[2].sparsity, Sparsity(0.875));
  EXPECT_EQ(updates[0].step, 0);
  EXPECT_EQ(updates[1].step, 30);
  EXPECT_EQ(updates[2].step, 60);
}

TEST(IterativeSchedule, OneRoundIsOneShot) {
  const auto iterative = iterative_schedule(1, 1.0)->moments({.steps = 100}, Sparsity(0.8));
  const auto one_shot = one_shot_schedule()->moments({.steps = 100}, Sparsity(0.8));
  ASSERT_EQ(iterative.size(), 1U);
  ASSERT_EQ(one_shot.size(), 1U);
  EXPECT_EQ(iterative[0].step, one_shot[0].step);
  EXPECT_EQ(iterative[0].sparsity, one_shot[0].sparsity);
}

TEST(IterativeSchedule, SpreadsRoundsOverThePartThatIsAsked) {
  const auto updates = iterative_schedule(2, 0.5)->moments({.steps = 100}, Sparsity(0.9));
  EXPECT_EQ(updates[1].step, 25);
}

TEST(OneShotSchedule, ComesAtItsFraction) {
  const auto moments = one_shot_schedule(0.5)->moments({.steps = 9}, Sparsity(0.8));
  ASSERT_EQ(moments.size(), 1U);
  EXPECT_EQ(moments[0].step, 4);
  EXPECT_EQ(moments[0].sparsity, Sparsity(0.8));
  EXPECT_THROW(one_shot_schedule(1.5), ValueError);
  const auto less = one_shot_schedule(0.0, Sparsity(0.5))->moments({.steps = 9}, Sparsity(0.8));
  EXPECT_EQ(less.at(0).sparsity, Sparsity(0.5));
}

TEST(MovesWhilePruning, TakeTheSparsityThatIsReachedAndWaitForTheFirst) {
  const auto moments =
      moves_while_pruning(
          dynamic_schedule({.frequency = 10, .end = 1.0, .fraction = 0.4, .least = 0.2}),
          cubic_schedule({.begin = 0.15, .end = 0.55, .frequency = 20}))
          ->moments({.steps = 100}, Sparsity(0.8));
  // Pruning at 15, 35 and 55, to 0, 0.7 and 0.8; moves at 0, 10, .. 90.
  ASSERT_EQ(moments.size(), 8U);
  const double sparsities[] = {0.0, 0.0, 0.7, 0.7, 0.8, 0.8, 0.8, 0.8};
  for (size_t k = 0; k < 8; ++k) {
    EXPECT_EQ(moments[k].step, 20 + 10 * static_cast<int64_t>(k));
    EXPECT_NEAR(moments[k].sparsity.value(), sparsities[k], kTolerance);
  }
  EXPECT_NEAR(moments[3].moved, 0.3, kTolerance);  // at half of the training
  EXPECT_THROW(dynamic_schedule({.fraction = 0.1, .least = 0.2}), ValueError);
}

TEST(EpochsSchedule, ChoosesAtTheStartAfterTheFirstEpochAndThenEveryFew) {
  const auto soft = epochs_schedule(Epochs::BeforeTheLast, 2);
  const auto moments = soft->moments({.steps = 60, .steps_per_epoch = 10}, Sparsity(0.3));
  // Before training, and after the epochs 0, 2 and 4; the sixth is the last.
  ASSERT_EQ(moments.size(), 4U);
  const int64_t steps[] = {0, 10, 30, 50};
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_EQ(moments[k].step, steps[k]);
    EXPECT_EQ(moments[k].ends_epoch, k > 0);
  }
  EXPECT_TRUE(soft->moments({.steps = 0}, Sparsity(0.3)).empty());
  const auto last = epochs_schedule(Epochs::Last)->moments({.steps = 60}, Sparsity(0.3));
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0].step, 60);
  EXPECT_TRUE(last[0].ends_epoch);
  EXPECT_THROW(epochs_schedule(Epochs::Last, 0), ValueError);
}

}  // namespace
}  // namespace espalier::prune
