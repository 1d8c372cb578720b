// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/nn/introspect/counting.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

constexpr double kDensityTolerance = 5e-8;  // the oracles have 7 digits

/// Layers of which every weight is a unit, all alive.
struct Layers {
  std::vector<std::vector<double>> scores;
  std::vector<std::vector<uint8_t>> alive;
  std::vector<std::vector<int64_t>> weights;
  std::vector<SiteScores> views;
};

Layers layers_of(const std::vector<Shape>& shapes, int64_t at_least = 0) {
  Layers layers;
  for (const Shape& shape : shapes) {
    const auto n = static_cast<size_t>(shape.numel());
    layers.scores.emplace_back(n, 1.0);
    layers.alive.emplace_back(n, uint8_t{1});
    layers.weights.emplace_back(n, 1);
  }
  for (size_t l = 0; l < shapes.size(); ++l) {
    layers.views.push_back({"layer" + std::to_string(l) + ".weight",
                            shapes[l],
                            shapes[l].numel(),
                            layers.scores[l],
                            layers.alive[l],
                            layers.weights[l],
                            at_least});
  }
  return layers;
}

int64_t sum(const std::vector<int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

void expect_densities(const std::vector<Shape>& shapes,
                      double sparsity,
                      const std::vector<double>& expected,
                      int64_t kept) {
  const auto densities = erdos_renyi_densities(shapes, Sparsity(sparsity), ErdosRenyi::Kernel);
  ASSERT_EQ(densities.size(), expected.size());
  for (size_t l = 0; l < expected.size(); ++l) {
    EXPECT_NEAR(densities[l], expected[l], kDensityTolerance) << l;
  }
  const Layers layers = layers_of(shapes);
  const auto counts =
      erdos_renyi_allocation(ErdosRenyi::Kernel)->keep(layers.views, Sparsity(sparsity));
  EXPECT_EQ(sum(counts), kept);
}

const std::vector<Shape> kLenet = {{300, 784}, {100, 300}, {10, 100}};
const std::vector<Shape> kConvs = {{16, 3, 3, 3}, {32, 16, 3, 3}, {64, 32, 3, 3}, {10, 64}};

TEST(ErdosRenyi, LenetMatchesTheHandWorkedDensities) {
  expect_densities(kLenet, 0.90, {0.0795678, 0.2301887, 1.0}, 26620);
  expect_densities(kLenet, 0.95, {0.0384841, 0.1113342, 0.9185069}, 13310);
}

TEST(ErdosRenyi, ConvolutionsMatchTheHandWorkedDensities) {
  expect_densities(kConvs, 0.8, {1, 0.2817308, 0.1330395, 1}, 4822);
  expect_densities(kConvs, 0.9, {0.5662983, 0.1146754, 0.0541523, 1}, 2411);
}

TEST(ErdosRenyi, LayersTiedForTheHighestBecomeDenseTogether) {
  const std::vector<Shape> shapes = {{2, 2}, {2, 2}, {100, 100}};
  const auto densities = erdos_renyi_densities(shapes, Sparsity(0.9), ErdosRenyi::Kernel);
  EXPECT_EQ(densities[0], 1.0);
  EXPECT_EQ(densities[1], 1.0);
  EXPECT_LT(densities[2], 1.0);
}

TEST(ErdosRenyi, ChannelsAloneIgnoreTheKernel) {
  const std::vector<Shape> shapes = {{32, 16, 3, 3}, {32, 16, 5, 5}};
  const auto er = erdos_renyi_densities(shapes, Sparsity(0.9), ErdosRenyi::Channels);
  const auto erk = erdos_renyi_densities(shapes, Sparsity(0.9), ErdosRenyi::Kernel);
  EXPECT_DOUBLE_EQ(er[0], er[1]);
  EXPECT_GT(erk[0], erk[1]);
}

TEST(ErdosRenyi, IsExactInTotalOverTheZoo) {
  for (const nn::ModelInfo& info : nn::model_list()) {
    const std::string& name = info.name;
    const auto model = nn::make_model(name, small_options(name));
    std::vector<Shape> shapes;
    int64_t weights = 0;
    for (const nn::NamedParameter& p : nn::prunable_parameters(*model)) {
      shapes.push_back(p.parameter->shape());
      weights += p.parameter->numel();
    }
    for (const int64_t at_least : {0, 1, 40}) {
      const Layers layers = layers_of(shapes, at_least);
      int64_t floor = 0;
      for (const SiteScores& layer : layers.views) floor += std::min(at_least, layer.units);
      for (const double sparsity : {0.0, 0.3, 0.5, 0.8, 0.9, 0.95, 0.98, 0.995}) {
        for (const ErdosRenyi kind : {ErdosRenyi::Kernel, ErdosRenyi::Channels}) {
          const auto kept = erdos_renyi_allocation(kind)->keep(layers.views, Sparsity(sparsity));
          EXPECT_EQ(sum(kept), std::max(kept_count(weights, Sparsity(sparsity)), floor))
              << name << " at " << sparsity << ", at least " << at_least;
          for (size_t l = 0; l < kept.size(); ++l) {
            EXPECT_GE(kept[l], std::min(at_least, layers.views[l].units));
            EXPECT_LE(kept[l], layers.views[l].units);
          }
        }
      }
    }
  }
}

TEST(ErdosRenyi, WhatLayersMustKeepIsTakenOffTheOthers) {
  // Parts 20, 20, 200 of 100, 100 and 10,000 weights: 10 + 10 + 100 would be kept of 120.
  const Layers layers = layers_of({{10, 10}, {10, 10}, {100, 100}});
  std::vector<SiteScores> views = layers.views;
  const Sparsity target(1.0 - 120.0 / 10200.0);
  EXPECT_EQ(erdos_renyi_allocation(ErdosRenyi::Kernel)->keep(views, target),
            (std::vector<int64_t>{10, 10, 100}));
  views[0].at_least = 32;  // 88 are left for parts of 20 and 200
  EXPECT_EQ(erdos_renyi_allocation(ErdosRenyi::Kernel)->keep(views, target),
            (std::vector<int64_t>{32, 8, 80}));
}

TEST(ErdosRenyi, DenseStaysDense) {
  for (double d : erdos_renyi_densities(kConvs, Sparsity(0.0), ErdosRenyi::Kernel)) {
    EXPECT_DOUBLE_EQ(d, 1.0);
  }
}

TEST(UniformAllocation, IsExactInEveryLayer) {
  const Layers layers = layers_of({{1, 10}, {1, 30}});
  EXPECT_EQ(uniform_allocation()->keep(layers.views, Sparsity(0.9)), (std::vector<int64_t>{1, 3}));
}

TEST(UniformAllocation, LeavesTheFirstLayerDenseWhenAsked) {
  const Layers layers = layers_of({{1, 10}, {1, 30}});
  EXPECT_EQ(uniform_allocation(FirstLayer::Dense)->keep(layers.views, Sparsity(0.9)),
            (std::vector<int64_t>{10, 3}));
}

TEST(GlobalAllocation, LetsLayersCompete) {
  Layers layers = layers_of({{2, 2}, {2, 2}});
  layers.scores[0] = {9, 8, 7, 6};
  layers.scores[1] = {1, 2, 3, 4};
  layers.views[0].scores = layers.scores[0];
  layers.views[1].scores = layers.scores[1];
  EXPECT_EQ(global_allocation()->keep(layers.views, Sparsity(0.5)), (std::vector<int64_t>{4, 0}));
}

TEST(GlobalAllocation, ProtectsTheMinimumWithinTheBudget) {
  Layers layers = layers_of({{2, 2}, {2, 2}}, 1);
  layers.scores[0] = {9, 8, 7, 6};
  layers.scores[1] = {1, 2, 3, 4};
  layers.views[0].scores = layers.scores[0];
  layers.views[1].scores = layers.scores[1];
  EXPECT_EQ(global_allocation()->keep(layers.views, Sparsity(0.5)), (std::vector<int64_t>{3, 1}));
}

TEST(GlobalAllocation, NeverExceedsTheBudgetWithUnequalUnits) {
  Layers layers = layers_of({{1, 2}, {1, 2}});
  layers.weights = {{4, 4}, {1, 1}};
  layers.scores = {{4, 2}, {3, 1}};
  for (size_t l = 0; l < 2; ++l) {
    layers.views[l].weights = layers.weights[l];
    layers.views[l].scores = layers.scores[l];
  }
  // 10 weights, budget 5: the units of 4 (score 4) and 1 (score 3).
  EXPECT_EQ(global_allocation()->keep(layers.views, Sparsity(0.5)), (std::vector<int64_t>{1, 1}));
  // Budget 8: after 4 + 1 the next unit of 4 no longer fits, and nothing behind it jumps the queue.
  EXPECT_EQ(global_allocation()->keep(layers.views, Sparsity(0.2)), (std::vector<int64_t>{1, 1}));
}

TEST(Ratios, FixedOnesAreKeptWhateverTheTargetIs) {
  const Layers layers = layers_of({{1, 10}, {1, 20}, {1, 7}}, 1);
  const auto fixed = ratio_allocation({0.35, 0.2, 0.0}, Ratios::Fixed);
  for (const double sparsity : {0.1, 0.9}) {
    EXPECT_EQ(fixed->keep(layers.views, Sparsity(sparsity)), (std::vector<int64_t>{4, 4, 1}));
  }
  EXPECT_THROW(ratio_allocation({0.5}, Ratios::Fixed)->keep(layers.views, Sparsity(0.5)),
               ShapeError);
}

TEST(Ratios, ScaledOnesMeetTheTargetInProportion) {
  const Layers layers = layers_of({{1, 10}, {1, 20}});
  const auto scaled = ratio_allocation({0.5, 0.25}, Ratios::Scaled);
  // 5 to 5 of 15 are 7.5 each; the first of equal remainders gets the one that is left.
  EXPECT_EQ(scaled->keep(layers.views, Sparsity(0.5)), (std::vector<int64_t>{8, 7}));
  // 5 to 5 of 24: the first is whole at 10.
  EXPECT_EQ(scaled->keep(layers.views, Sparsity(0.2)), (std::vector<int64_t>{10, 14}));
  EXPECT_EQ(scaled->keep(layers.views, Sparsity(0.0)), (std::vector<int64_t>{10, 20}));
  // Without ratios all have the same share.
  EXPECT_EQ(ratio_allocation({}, Ratios::Scaled)->keep(layers.views, Sparsity(0.5)),
            (std::vector<int64_t>{5, 10}));
  const Layers least = layers_of({{1, 10}, {1, 20}}, 3);
  EXPECT_EQ(ratio_allocation({1.0, 0.01}, Ratios::Scaled)->keep(least.views, Sparsity(0.6)),
            (std::vector<int64_t>{9, 3}));
}

TEST(Ratios, UnitsOfUnequalSizeAreTakenWhileTheyFit) {
  Layers layers = layers_of({{1, 2}, {1, 4}});
  layers.weights = {{6, 6}, {2, 2, 2, 2}};
  for (size_t l = 0; l < 2; ++l) layers.views[l].weights = layers.weights[l];
  // 20 weights, budget 10: one unit of 6 and two of 2.
  EXPECT_EQ(ratio_allocation({}, Ratios::Scaled)->keep(layers.views, Sparsity(0.5)),
            (std::vector<int64_t>{1, 2}));
  // Budget 5: none of 6 fits, the others take what is there.
  EXPECT_EQ(ratio_allocation({}, Ratios::Scaled)->keep(layers.views, Sparsity(0.75)),
            (std::vector<int64_t>{0, 2}));
}

TEST(NamedAllocation, ReplacesTheCommonSparsityByName) {
  const Layers layers = layers_of({{1, 10}, {1, 10}, {1, 10}});
  for (const char* text : {"layer1=0.3,layer2.weight=0", " layer1=0.3 , layer2.weight=0 "}) {
    EXPECT_EQ(named_allocation(uniform_allocation(), text)->keep(layers.views, Sparsity(0.5)),
              (std::vector<int64_t>{5, 7, 10}));
  }
}

TEST(NamedAllocation, RefusesUnknownNamesAndBadText) {
  const Layers layers = layers_of({{1, 10}});
  EXPECT_THROW(
      named_allocation(uniform_allocation(), "layer9=0.3")->keep(layers.views, Sparsity(0.5)),
      ValueError);
  EXPECT_THROW(named_allocation(uniform_allocation(), "layer0"), ValueError);
  EXPECT_THROW(named_allocation(uniform_allocation(), "layer0=2"), ValueError);
  EXPECT_THROW(named_allocation(uniform_allocation(), "=0.5"), ValueError);
}

}  // namespace
}  // namespace espalier::prune
