// SPDX-License-Identifier: Apache-2.0
/// Hard concrete gates against the card's numbers, Monte Carlo and finite differences.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/core/random.h>
#include <espalier/nn/forms/hard_concrete.h>

namespace espalier::nn {
namespace {

constexpr double kCardTolerance = 1e-7;  // of numbers with seven decimals

TEST(HardConcrete, MatchesTheHandWorkedNumbers) {
  using namespace hard_concrete;
  EXPECT_NEAR(probability_open(0.0), 0.8318222, kCardTolerance);
  EXPECT_NEAR(1.0 - probability_open(0.0), 0.1681778, kCardTolerance);
  EXPECT_NEAR(probability_one(0.0), 0.1681778, kCardTolerance);
  EXPECT_NEAR(expected_gate(0.0), 0.5, 1e-12);
  EXPECT_EQ(sample(0.0, 0.1).z, 0.0);
  EXPECT_NEAR(sample(0.0, 0.5).z, 0.5, 1e-12);
  EXPECT_EQ(sample(0.0, 0.9).z, 1.0);
  EXPECT_NEAR(initial_log_alpha(0.3), 0.8472979, kCardTolerance);
  EXPECT_NEAR(probability_open(0.8472979), 0.9202607, kCardTolerance);
  EXPECT_NEAR(expected_gate(initial_log_alpha(0.3)), 0.74, 1e-9);
  EXPECT_NEAR(probability_open(-2.0), 0.4009753, kCardTolerance);
  EXPECT_NEAR(expected_gate(-2.0), 0.0430435, kCardTolerance);
}

TEST(HardConcrete, TestTimeGatesHaveNoTemperatureAndCloseAtMinusLogEleven) {
  using namespace hard_concrete;
  EXPECT_NEAR(kClosedLogAlpha, -std::log(11.0), 1e-12);
  EXPECT_NEAR(kMostLogAlpha, std::log(100.0), 1e-12);
  EXPECT_EQ(expected_gate(kClosedLogAlpha - 1e-9), 0.0);
  EXPECT_GT(expected_gate(kClosedLogAlpha + 1e-6), 0.0);
  EXPECT_EQ(expected_gate(-kClosedLogAlpha + 1e-9), 1.0);
  EXPECT_LT(expected_gate(-kClosedLogAlpha - 1e-6), 1.0);
}

TEST(HardConcrete, SamplesAreOpenAsOftenAsTheFormulaSays) {
  constexpr int kSamples = 1'000'000;
  for (const double log_alpha : {-2.0, 0.0, 0.8472979}) {
    Rng rng(3, "monte carlo");
    int open = 0;
    for (int i = 0; i < kSamples; ++i) {
      const double u = rng.uniform(hard_concrete::kEpsilon, 1.0 - hard_concrete::kEpsilon);
      open += hard_concrete::sample(log_alpha, u).z > 0.0 ? 1 : 0;
    }
    const double p = hard_concrete::probability_open(log_alpha);
    EXPECT_NEAR(open, p * kSamples, 3.0 * std::sqrt(kSamples * p * (1.0 - p)));
  }
}

TEST(HardConcrete, DerivativesMatchFiniteDifferencesAndVanishWhereClipped) {
  constexpr double kStep = 1e-6;
  for (const double log_alpha : {-1.5, 0.2, 1.1}) {
    const double slope = (hard_concrete::probability_open(log_alpha + kStep) -
                          hard_concrete::probability_open(log_alpha - kStep)) /
                         (2.0 * kStep);
    EXPECT_NEAR(hard_concrete::probability_open_slope(log_alpha), slope, 1e-8);
    for (const double u : {0.001, 0.3, 0.5, 0.65, 0.999}) {
      const hard_concrete::Sample at = hard_concrete::sample(log_alpha, u);
      const double dz = (hard_concrete::sample(log_alpha + kStep, u).z -
                         hard_concrete::sample(log_alpha - kStep, u).z) /
                        (2.0 * kStep);
      EXPECT_NEAR(at.dz, dz, 1e-7);
      if (at.z == 0.0 || at.z == 1.0) {
        EXPECT_EQ(at.dz, 0.0);
      }
    }
  }
}

}  // namespace
}  // namespace espalier::nn
