// SPDX-License-Identifier: Apache-2.0
/// Smart ratios: the hand-worked example, full layers, and what can't be.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

constexpr double kTolerance = 1e-9;

/// Three convolutions of 100 weights and a linear layer of 10.
const std::vector<Shape> kShapes = {{10, 10, 1, 1}, {10, 10, 1, 1}, {10, 10, 1, 1}, {5, 2}};

std::vector<double> wanted_of(const std::vector<Shape>& shapes,
                              Sparsity target,
                              const SmartRatioOptions& options) {
  std::vector<double> wanted = smart_ratio_densities(shapes, target, options);
  for (size_t l = 0; l < shapes.size(); ++l) wanted[l] *= static_cast<double>(shapes[l].numel());
  return wanted;
}

std::vector<int64_t> floors(const std::vector<double>& values) {
  std::vector<int64_t> result;
  for (double value : values) result.push_back(guarded_floor(value));
  return result;
}

std::vector<int64_t> keep(const std::vector<Shape>& shapes,
                          Sparsity target,
                          const SmartRatioOptions& options) {
  std::vector<SiteScores> views;
  for (const Shape& shape : shapes) views.push_back({"layer", shape, shape.numel(), {}, {}, {}});
  return smart_ratio_allocation(options)->keep(views, target);
}

TEST(SmartRatio, MatchesTheHandWorkedExample) {
  // raw 20, 12, 6; 31 - 3 = 28 weights for the convolutions.
  const auto residual = wanted_of(kShapes, Sparsity(0.9), {});
  EXPECT_NEAR(residual[0], 28.0 * 20 / 38, kTolerance);
  EXPECT_EQ(floors(residual), (std::vector<int64_t>{14, 8, 4, 3}));
  const auto plain = wanted_of(kShapes, Sparsity(0.9), {.rule = SmartRatioRule::Plain});
  EXPECT_NEAR(plain[0] / plain[2], 20.0 / (6.0 / 9.0), kTolerance);
  EXPECT_EQ(floors(plain), (std::vector<int64_t>{23, 3, 0, 3}));
}

TEST(SmartRatio, SharesTheRemaindersOfRoundingOut) {
  // 14.7, 8.8, 4.4 and 23.7, 3.5, 0.8: the last layer is not lost.
  EXPECT_EQ(keep(kShapes, Sparsity(0.9), {}), (std::vector<int64_t>{15, 9, 4, 3}));
  EXPECT_EQ(keep(kShapes, Sparsity(0.9), {.rule = SmartRatioRule::Plain}),
            (std::vector<int64_t>{24, 3, 1, 3}));
}

TEST(SmartRatio, RulesOfTheAblations) {
  const auto ratios = [](SmartRatioRule rule) {
    const auto wanted = wanted_of(kShapes, Sparsity(0.9), {.rule = rule});
    return std::pair(wanted[0] / wanted[1], wanted[1] / wanted[2]);
  };
  EXPECT_NEAR(ratios(SmartRatioRule::Linear).first, 4.0 / 3, kTolerance);
  EXPECT_NEAR(ratios(SmartRatioRule::Cubic).second, 27.0 / 8, kTolerance);
  EXPECT_NEAR(ratios(SmartRatioRule::Ascending).first, 2.0 / 6, kTolerance);
  EXPECT_NEAR(ratios(SmartRatioRule::Uniform).second, 1.0, kTolerance);
}

TEST(SmartRatio, EveryFullLayerPassesItsSurplusOn) {
  // Trap: the published code stops at the first layer that is not full, and a later one overflows.
  const std::vector<Shape> shapes = {
      {10, 10, 1, 1}, {100, 10, 1, 1}, {5, 2, 1, 1}, {10, 10, 1, 1}, {5, 2}};
  for (double sparsity : {0.02, 0.05, 0.1, 0.2, 0.5}) {
    const auto densities = smart_ratio_densities(shapes, Sparsity(sparsity), {});
    double total = 0.0;
    for (size_t l = 0; l < shapes.size(); ++l) {
      EXPECT_LE(densities[l], 1.0 + kTolerance);
      EXPECT_GE(densities[l], 0.0);
      total += densities[l] * static_cast<double>(shapes[l].numel());
    }
    EXPECT_NEAR(total, static_cast<double>(kept_count(1220, Sparsity(sparsity))), 1e-6);
  }
  const auto crowded = smart_ratio_densities(shapes, Sparsity(0.05), {});
  EXPECT_EQ(crowded[0], 1.0);
  EXPECT_EQ(crowded[1], 1.0);
  EXPECT_LT(crowded[3], 1.0);
}

TEST(SmartRatio, WhatTheLastCannotTakeGoesToTheFirstWithRoom) {
  // Ascending: the last convolution wants more than all.
  const std::vector<Shape> shapes = {{10, 10, 1, 1}, {2, 1, 1, 1}, {10, 10, 1, 1}};
  const auto densities =
      smart_ratio_densities(shapes, Sparsity(0.2), {.rule = SmartRatioRule::Ascending});
  EXPECT_EQ(densities[2], 1.0);
  const double total = densities[0] * 100 + densities[1] * 2 + densities[2] * 100;
  EXPECT_NEAR(total, static_cast<double>(kept_count(202, Sparsity(0.2))), 1e-6);
}

TEST(SmartRatio, LinearLayersAloneShareTheBudgetEvenly) {
  const std::vector<Shape> shapes = {{20, 5}, {40, 5}};
  EXPECT_EQ(keep(shapes, Sparsity(0.5), {}), (std::vector<int64_t>{50, 100}));
}

TEST(SmartRatio, SaysWhenLinearLayersAloneExceedTheBudget) {
  EXPECT_THROW(keep({{2, 1, 1, 1}, {10, 10}}, Sparsity(0.9), {}), ValueError);
  EXPECT_NO_THROW(keep({{2, 1, 1, 1}, {10, 10}}, Sparsity(0.9), {.linear_density = Density(0.05)}));
}

TEST(SmartRatio, ALayerWithNothingLeftIsReported) {
  // Of 202 weights the plain rule gives 0.17 to the second convolution.
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 100, .out_channels = 100, .kernel = 1}));
  net.add(nn::Conv2d({.in_channels = 100, .out_channels = 1, .kernel = 1}));
  const PruneSettings settings =
      parse_settings(method("smart-ratio"), {{"ratio-rule", "plain"}, {"sparsity", "0.98"}});
  auto pruner = make_pruner("smart-ratio", settings);
  try {
    pruner->prune(net, nullptr, Sparsity(0.98));
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("1.weight"), std::string::npos);
  }
}

}  // namespace
}  // namespace espalier::prune
