// SPDX-License-Identifier: Apache-2.0
// The statistics of comparisons and what they find, by hand.
#include <cmath>

#include <espalier/experiments/comparisons/findings.h>

#include "command_line.h"
#include "run_rows.h"

namespace espalier::experiments::comparisons {
namespace {

using espalier::testing::expect_error;
using espalier::testing::row;

constexpr double kExact = 1e-12;

TEST(Statistics, OneToThreeByHand) {
  const Summary summary = summarize({1.0, 2.0, 3.0});
  EXPECT_EQ(summary.count, 3);
  EXPECT_NEAR(summary.mean, 2.0, kExact);
  EXPECT_NEAR(summary.deviation.value(), 1.0, kExact);
  EXPECT_NEAR(summary.standard_error.value(), 1.0 / std::sqrt(3.0), kExact);
  EXPECT_NEAR(summary.ratio().value(), 2.0 * std::sqrt(3.0), kExact);
}

TEST(Statistics, OneValueHasNoDeviationAndEqualValuesHaveNoDoubt) {
  EXPECT_FALSE(summarize({0.5}).deviation.has_value());
  EXPECT_FALSE(summarize({0.5}).ratio().has_value());
  EXPECT_TRUE(std::isinf(summarize({0.5, 0.5}).ratio().value()));
  EXPECT_EQ(summarize({0.0, 0.0}).ratio().value(), 0.0);
  expect_error<ValueError>([] { summarize({}); }, {"summarize"});
}

TEST(Statistics, RankCorrelationByHand) {
  EXPECT_NEAR(rank_correlation({1, 2, 3}, {30, 20, 10}), -1.0, kExact);
  // Ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3: 4.5 / sqrt(4.5 * 5).
  EXPECT_NEAR(rank_correlation({1, 2, 2, 3}, {1, 2, 3, 4}), 4.5 / std::sqrt(22.5), kExact);
  EXPECT_EQ(rank_correlation({1, 1, 1}, {1, 2, 3}), 0.0);
  expect_error<ValueError>([] { rank_correlation({1}, {1}); }, {"rank_correlation"});
}

const Claim kClaim = {.sentence = "a is higher than b",
                      .column = "variant",
                      .higher = {"a"},
                      .lower = {"b"},
                      .within = {"method", "sparsity"}};

TEST(Findings, DifferencesArePairedBySeed) {
  // Differences 0.01, 0.02, 0.03: mean 0.02 at a standard error of 0.01 / sqrt(3).
  const std::vector<RunRow> rows = {row("m", "a", 1, 0.50),
                                    row("m", "b", 1, 0.49),
                                    row("m", "a", 2, 0.92),
                                    row("m", "b", 2, 0.90),
                                    row("m", "b", 3, 0.10),
                                    row("m", "a", 3, 0.13)};
  const Finding finding = judge(kClaim, rows);
  ASSERT_EQ(finding.groups.size(), 1u);
  EXPECT_EQ(finding.groups[0].group, "m 0.9");
  EXPECT_NEAR(finding.overall.mean, 0.02, kExact);
  EXPECT_NEAR(finding.overall.standard_error.value(), 0.01 / std::sqrt(3.0), kExact);
  EXPECT_EQ(finding.verdict, Verdict::Agrees);
  EXPECT_EQ(finding.text(), "agrees (3.5 standard errors, 3 seeds)");
  Claim opposite = kClaim;
  std::swap(opposite.higher, opposite.lower);
  EXPECT_EQ(judge(opposite, rows).verdict, Verdict::Disagrees);
}

TEST(Findings, SmallDifferencesAndSingleSeedsAreNotSure) {
  const Finding noisy = judge(
      kClaim,
      {row("m", "a", 1, 0.5), row("m", "b", 1, 0.6), row("m", "a", 2, 0.7), row("m", "b", 2, 0.5)});
  EXPECT_EQ(noisy.verdict, Verdict::Agrees);
  EXPECT_NE(noisy.text().find("not sure"), std::string::npos) << noisy.text();
  const Finding single = judge(kClaim, {row("m", "a", 1, 0.9), row("m", "b", 1, 0.1)});
  EXPECT_NE(single.text().find("not sure"), std::string::npos) << single.text();
}

// Without one of its methods a side would mean something else.
TEST(Findings, ASeedWithAFailedRunDoesNotCount) {
  Claim claim = kClaim;
  claim.column = "method";
  claim.higher = {"x", "y"};
  claim.lower = {"z"};
  claim.within = {"sparsity"};
  std::vector<RunRow> rows = {row("x", "", 1, 0.9),
                              row("y", "", 1, 0.7),
                              row("z", "", 1, 0.5),
                              row("x", "", 2, 0.9),
                              row("y", "", 2, 0.0),
                              row("z", "", 2, 0.5)};
  rows[4].error = "loss diverged";
  const Finding finding = judge(claim, rows);
  EXPECT_EQ(finding.overall.count, 1);
  EXPECT_NEAR(finding.overall.mean, 0.3, kExact);
}

TEST(Findings, WhatOneGroupOfSeveralDecidesIsNamed) {
  Claim claim = kClaim;
  claim.kind = Claim::Kind::CanBeHigher;
  // n: 0.10 and 0.12, eleven standard errors; m: 0.5 and -0.1, two thirds of one.
  const Finding finding = judge(claim,
                                {row("m", "a", 1, 0.9),
                                 row("m", "b", 1, 0.4),
                                 row("m", "a", 2, 0.4),
                                 row("m", "b", 2, 0.5),
                                 row("n", "a", 1, 0.60),
                                 row("n", "b", 1, 0.50),
                                 row("n", "a", 2, 0.62),
                                 row("n", "b", 2, 0.50)});
  EXPECT_EQ(finding.decisive_group, "n 0.9");
  EXPECT_EQ(finding.text(), "agrees (n 0.9, the highest of 2: 11.0 standard errors, 2 seeds)");
}

TEST(Findings, OverallTakesOnlySeedsThatEveryGroupHas) {
  const Finding finding = judge(kClaim,
                                {row("m", "a", 1, 0.6),
                                 row("m", "b", 1, 0.5),
                                 row("m", "a", 2, 0.9),
                                 row("m", "b", 2, 0.1),
                                 row("n", "a", 1, 0.8),
                                 row("n", "b", 1, 0.5)});
  ASSERT_EQ(finding.groups.size(), 2u);
  EXPECT_EQ(finding.overall.count, 1);
  EXPECT_NEAR(finding.overall.mean, 0.2, kExact);
}

TEST(Findings, FailedRunsAndRunsForOthersDoNotCount) {
  std::vector<RunRow> rows = {row("m", "a", 1, 0.9), row("m", "b", 1, 0.1)};
  rows[0].error = "diverged";
  EXPECT_EQ(judge(kClaim, rows).verdict, Verdict::NoData);
  rows[0].error.clear();
  rows[1].compared = false;
  EXPECT_EQ(judge(kClaim, rows).verdict, Verdict::NoData);
}

TEST(Findings, NotAlwaysHigherIsDecidedByTheLowestGroup) {
  Claim claim = kClaim;
  claim.kind = Claim::Kind::NotAlwaysHigher;
  std::vector<RunRow> rows = {
      row("m", "a", 1, 0.9), row("m", "b", 1, 0.1), row("n", "a", 1, 0.4), row("n", "b", 1, 0.5)};
  const Finding agrees = judge(claim, rows);
  EXPECT_EQ(agrees.verdict, Verdict::Agrees);
  EXPECT_NEAR(agrees.decisive.mean, -0.1, kExact);
  rows[2].accuracy = 0.6;
  EXPECT_EQ(judge(claim, rows).verdict, Verdict::Disagrees);
}

TEST(Findings, CanBeHigherIsDecidedByTheHighestGroup) {
  Claim claim = kClaim;
  claim.kind = Claim::Kind::CanBeHigher;
  std::vector<RunRow> rows = {
      row("m", "a", 1, 0.1), row("m", "b", 1, 0.9), row("n", "a", 1, 0.5), row("n", "b", 1, 0.4)};
  const Finding agrees = judge(claim, rows);  // though the mean of both is far below
  EXPECT_EQ(agrees.verdict, Verdict::Agrees);
  EXPECT_NEAR(agrees.decisive.mean, 0.1, kExact);
  rows[2].accuracy = 0.3;
  EXPECT_EQ(judge(claim, rows).verdict, Verdict::Disagrees);
}

TEST(Findings, EqualSidesSpeakNeitherForNorAgainst) {
  Claim claim = kClaim;
  const std::vector<RunRow> rows = {row("m", "a", 1, 0.4), row("m", "b", 1, 0.4)};
  EXPECT_EQ(judge(claim, rows).verdict, Verdict::Equal);
  EXPECT_TRUE(judge(claim, rows).text().starts_with("no difference"));
  claim.kind = Claim::Kind::CanBeHigher;
  EXPECT_EQ(judge(claim, rows).verdict, Verdict::Equal);
  claim.kind = Claim::Kind::NotAlwaysHigher;  // an equal one is not higher
  EXPECT_EQ(judge(claim, rows).verdict, Verdict::Agrees);
  // 0.1 + 0.2 is not 0.3 to the last bit.
  claim.kind = Claim::Kind::Higher;
  EXPECT_EQ(judge(claim, {row("m", "a", 1, 0.1 + 0.2), row("m", "b", 1, 0.3)}).verdict,
            Verdict::Equal);
}

}  // namespace
}  // namespace espalier::experiments::comparisons
