// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/core/error.h>
#include <espalier/nn/train/lr_schedule.h>

namespace espalier::nn {
namespace {

TEST(LrSchedule, ConstantStaysTheSame) {
  EXPECT_EQ(ConstantLr(0.3).lr(0, 10), 0.3);
  EXPECT_EQ(ConstantLr(0.3).lr(9, 10), 0.3);
}

TEST(LrSchedule, StepDropsEveryFewSteps) {
  const StepLr schedule(1.0, 3, 0.5);
  EXPECT_EQ(schedule.lr(0, 10), 1.0);
  EXPECT_EQ(schedule.lr(2, 10), 1.0);
  EXPECT_EQ(schedule.lr(3, 10), 0.5);
  EXPECT_EQ(schedule.lr(6, 10), 0.25);
  EXPECT_THROW(StepLr(1.0, 0), ValueError);
}

TEST(LrSchedule, MultiStepDropsAtItsMilestones) {
  const MultiStepLr schedule(8.0, {2, 5}, 0.5);
  EXPECT_EQ(schedule.lr(1, 10), 8.0);
  EXPECT_EQ(schedule.lr(2, 10), 4.0);
  EXPECT_EQ(schedule.lr(4, 10), 4.0);
  EXPECT_EQ(schedule.lr(5, 10), 2.0);
  EXPECT_THROW(MultiStepLr(1.0, {5, 5}), ValueError);
}

TEST(LrSchedule, MilestonesMayBeFractionsOfTheTraining) {
  const MultiStepLr schedule = MultiStepLr::at_fractions(8.0, {0.5, 0.75}, 0.5);
  EXPECT_EQ(schedule.lr(99, 200), 8.0);
  EXPECT_EQ(schedule.lr(100, 200), 4.0);
  EXPECT_EQ(schedule.lr(149, 200), 4.0);
  EXPECT_EQ(schedule.lr(150, 200), 2.0);
  EXPECT_THROW(MultiStepLr::at_fractions(1.0, {0.75, 0.5}), ValueError);
}

TEST(LrSchedule, MilestonesInEpochsAreNotTakenForFractions) {
  try {
    MultiStepLr::at_fractions(1.0, {15, 25});
    FAIL() << "took epochs for fractions";
  } catch (const ValueError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("fractions of training (0..1), got 15"), std::string::npos) << text;
  }
  EXPECT_THROW(MultiStepLr::at_fractions(1.0, {0.0, 0.5}), ValueError);
  EXPECT_THROW(MultiStepLr::at_fractions(1.0, {0.5, 1.0}), ValueError);
}

TEST(LrSchedule, CosineGoesFromBaseToFloor) {
  const CosineLr schedule(1.0, 0.2);
  EXPECT_EQ(schedule.lr(0, 100), 1.0);
  EXPECT_NEAR(schedule.lr(50, 100), 0.6, 1e-15);
  EXPECT_NEAR(schedule.lr(25, 100), 0.2 + 0.8 * (1 + std::sqrt(0.5)) / 2, 1e-15);
  EXPECT_EQ(schedule.lr(100, 100), 0.2);
}

TEST(LrSchedule, OneCycleRisesToItsPeakAndEndsAtItsEnd) {
  const OneCycleLr schedule({.peak = 1.0, .rise = 0.3, .start_divisor = 10, .end_divisor = 100});
  EXPECT_EQ(schedule.lr(0, 100), 0.1);
  EXPECT_EQ(schedule.lr(29, 100), 1.0);
  EXPECT_NEAR(schedule.lr(64, 100), (1.0 + 0.001) / 2, 1e-15);  // half way between steps 29 and 99
  EXPECT_EQ(schedule.lr(99, 100), 0.001);
  for (int64_t step = 1; step < 100; ++step) {
    EXPECT_EQ(schedule.lr(step, 100) > schedule.lr(step - 1, 100), step <= 29) << step;
  }
  EXPECT_THROW(OneCycleLr({.rise = 1.0}), ValueError);
  EXPECT_THROW(OneCycleLr({.start_divisor = 0.0}), ValueError);
}

TEST(LrSchedule, OneCycleWithARiseOfNoWidthBeginsAtItsPeak) {
  for (const auto& [rise, steps] :
       {std::pair<double, int64_t>{0.5, 2}, {0.1, 10}, {0.2, 5}, {0.25, 4}}) {
    const OneCycleLr schedule({.peak = 1.0, .rise = rise});
    EXPECT_EQ(schedule.lr(0, steps), 1.0) << rise;
    EXPECT_EQ(schedule.lr(steps - 1, steps), 1.0 / 25 / 1e4) << rise;
  }
}

TEST(LrSchedule, EveryScheduleIsFiniteHoweverShortTrainingIs) {
  std::vector<std::shared_ptr<const LrSchedule>> schedules = {
      std::make_shared<StepLr>(1.0, 1),
      std::make_shared<MultiStepLr>(MultiStepLr::at_fractions(1.0, {0.5, 0.75})),
      std::make_shared<CosineLr>(1.0)};
  for (const double rise : {0.01, 0.1, 0.2, 0.25, 0.3, 1 / 3.0, 0.5, 0.75, 0.9, 0.99}) {
    schedules.push_back(std::make_shared<OneCycleLr>(OneCycleOptions{.peak = 1.0, .rise = rise}));
  }
  for (size_t i = 0; i < schedules.size(); ++i) {
    for (const int64_t warmup : {0, 1, 4}) {
      const WarmupLr schedule(schedules[i], warmup);
      for (int64_t total = 0; total <= 12; ++total) {
        for (int64_t step = 0; step <= total; ++step) {
          const double lr = schedule.lr(step, total);
          EXPECT_TRUE(lr >= 0.0 && lr <= 1.0)
              << i << ": " << lr << " at " << step << " of " << total;
        }
      }
    }
  }
}

TEST(LrSchedule, WarmupRisesLinearlyAndMilestonesStay) {
  const WarmupLr schedule(std::make_shared<MultiStepLr>(1.0, std::vector<int64_t>{6}, 0.5), 4, 0.2);
  EXPECT_DOUBLE_EQ(schedule.lr(0, 10), 0.2);
  EXPECT_DOUBLE_EQ(schedule.lr(1, 10), 0.4);
  EXPECT_DOUBLE_EQ(schedule.lr(3, 10), 0.8);
  EXPECT_EQ(schedule.lr(4, 10), 1.0);
  EXPECT_EQ(schedule.lr(6, 10), 0.5);
  EXPECT_THROW(WarmupLr(nullptr, 4), ValueError);
  EXPECT_THROW(WarmupLr(std::make_shared<ConstantLr>(1.0), -1), ValueError);
}

TEST(LrSchedule, WarmupOfNoStepsChangesNothing) {
  EXPECT_EQ(WarmupLr(std::make_shared<ConstantLr>(0.5), 0).lr(0, 10), 0.5);
}

}  // namespace
}  // namespace espalier::nn
