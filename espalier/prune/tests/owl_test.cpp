// SPDX-License-Identifier: Apache-2.0
/// OWL: hand-worked shares and numbers, PyTorch's densities and masks (oracles/owl.py), the traps,
/// and numbers that are settled before layers are pruned one after another.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::inputs_of;
using testing::linear_chain;
using testing::mask_of;
using testing::prune_now;

/// Layers of ten scores, each with so many tens among ones, and what an allocation gives them.
struct Layers {
  explicit Layers(const std::vector<std::pair<std::string, int>>& outliers) {
    scores.reserve(outliers.size());
    for (const auto& [name, count] : outliers) {
      scores.emplace_back(10, 1.0);
      std::fill_n(scores.back().begin(), count, 100.0);
      views.push_back({name, {2, 5}, 10, scores.back(), alive, {}});
    }
  }
  std::vector<int64_t> kept(double sparsity, const OutlierOptions& options) const {
    return outlier_allocation(options)->keep(views, Sparsity(sparsity));
  }
  std::vector<uint8_t> alive = std::vector<uint8_t>(10, 1);
  std::vector<std::vector<double>> scores;
  std::vector<SiteScores> views;
};

TEST(OutlierAllocation, SharesAreOfScoresAboveTimesTheMean) {
  // One of ten at 100: mean 10.9, so it is one above 5 means; two: mean 20.8, none above 104.
  const Layers layers({{"a.weight", 0}, {"b.weight", 1}, {"c.weight", 2}});
  EXPECT_EQ(outlier_shares(layers.views, {.times = 5}), (std::vector<double>{0, 0.1, 0}));
  EXPECT_EQ(outlier_shares(layers.views, {.times = 4}), (std::vector<double>{0, 0.1, 0.2}));
}

TEST(OutlierAllocation, DensitiesLieTwoLambdaApart) {
  // Shares 0, .1, .2: r = 0, .2, .4 less their mean .2; densities .3, .5, .7.
  const Layers layers({{"a.weight", 0}, {"b.weight", 1}, {"c.weight", 2}});
  EXPECT_EQ(layers.kept(0.5, {.times = 4, .lambda = 0.2}), (std::vector<int64_t>{3, 5, 7}));
  // Trap: more outliers, more is kept (the published text says sparsity, the code density).
  EXPECT_EQ(layers.kept(0.7, {.times = 4, .lambda = 0.1}), (std::vector<int64_t>{2, 3, 4}));
}

TEST(OutlierAllocation, WithoutADifferenceAllAreAlike) {
  // Trap: (D - min) / (max - min) is no number.
  const Layers layers({{"a.weight", 1}, {"b.weight", 1}});
  EXPECT_EQ(layers.kept(0.5, {.times = 4, .lambda = 0.2}), (std::vector<int64_t>{5, 5}));
}

TEST(OutlierAllocation, WhatLeavesNothingOrEverythingGoesToTheOthers) {
  // Trap: densities .1 -+ .2 are -.1 and .3; published code would prune 110 % of a layer.
  Layers layers({{"a.weight", 0}, {"b.weight", 2}});
  EXPECT_EQ(layers.kept(0.9, {.times = 4, .lambda = 0.2}), (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(layers.kept(0.1, {.times = 4, .lambda = 0.2}), (std::vector<int64_t>{8, 10}));
  layers.views[0].at_least = 1;
  EXPECT_EQ(layers.kept(0.9, {.times = 4, .lambda = 0.2}), (std::vector<int64_t>{1, 1}));
}

TEST(OutlierAllocation, LayersOfABlockShareOneDensity) {
  // 0 and 2 outliers of one block: 2 of 20 scores, mean 10.9; the other block has none.
  const Layers layers({{"h.0.a.weight", 0}, {"h.0.b.weight", 2}, {"h.1.a.weight", 0}});
  EXPECT_EQ(outlier_shares(layers.views, {.times = 5}), (std::vector<double>{0.1, 0.1, 0}));
  // r = .3, .3, 0 less .2.
  EXPECT_EQ(layers.kept(0.5, {.times = 5, .lambda = 0.15}), (std::vector<int64_t>{6, 6, 3}));
}

TEST(OutlierAllocation, IsExactWhateverTheSizesAre) {
  Layers layers({{"a.weight", 0}, {"b.weight", 1}, {"c.weight", 2}});
  layers.views[1].units = 7;
  layers.views[1].scores = layers.views[1].scores.first(7);
  for (const double sparsity : {0.13, 0.5, 0.77}) {
    const auto kept = layers.kept(sparsity, {.times = 3, .lambda = 0.1});
    EXPECT_EQ(std::accumulate(kept.begin(), kept.end(), int64_t{0}),
              kept_count(27, Sparsity(sparsity)));
  }
}

TEST(OutlierAllocation, CountsLivingUnitsOnly) {
  Layers layers({{"a.weight", 2}});
  layers.alive[0] = 0;
  // Of nine: mean 12, and one of them at 100.
  EXPECT_EQ(outlier_shares(layers.views, {.times = 5}), (std::vector<double>{1.0 / 9}));
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/owl.inc>
  };
  return values;
}

const std::vector<std::string> kLayers = {"0.0.weight", "1.0.weight", "1.1.weight", "2.0.weight"};

std::unique_ptr<nn::Sequential> oracle_net() {
  const auto linear = [](int64_t out) { return nn::Linear({.in = 8, .out = out, .bias = false}); };
  auto net = std::make_unique<nn::Sequential>();
  for (const std::vector<int64_t>& outputs : {std::vector<int64_t>{8}, {8, 8}, {4}}) {
    auto block = std::make_shared<nn::Sequential>();
    for (const int64_t out : outputs) block->add(linear(out));
    net->add(*block);
  }
  net->to(DType::F64);
  for (const auto& [name, tensor] : net->state_dict()) {
    Tensor(tensor).copy_(Tensor::from(tensor.shape(), oracle().at(name)));
  }
  return net;
}

std::unique_ptr<nn::Module> pruned(testing::Options given) {
  auto net = oracle_net();
  given.insert({{"sparsity", "0.5"}, {"outlier", "2"}, {"lambda", "0.2"}, {"batches", "1"}});
  prune_now("owl", given, *net, inputs_of(Tensor::from({16, 8}, oracle().at("images"))));
  return net;
}

TEST(OwlOracle, MasksInRowsBlockByBlockAreTheSame) {
  const auto net = pruned({});
  for (const std::string& name : kLayers) {
    const std::vector<double>& right = oracle().at("wanda " + name);
    EXPECT_EQ(mask_of(net->parameter(name)), std::vector<int>(right.begin(), right.end())) << name;
  }
}

TEST(OwlOracle, MagnitudesOverLayersAreTheSame) {
  const auto net = pruned({{"criterion", "magnitude"}});
  for (const std::string& name : kLayers) {
    const std::vector<double>& right = oracle().at("magnitude " + name);
    EXPECT_EQ(mask_of(net->parameter(name)), std::vector<int>(right.begin(), right.end())) << name;
  }
}

TEST(OwlOracle, EveryCriterionKeepsTheSameNumbers) {
  // Trap: the shares are of the dense network, not of what the blocks pruned before give.
  for (const char* criterion : {"wanda", "sparsegpt", "magnitude"}) {
    const auto net = pruned({{"criterion", criterion}});
    for (size_t l = 0; l < kLayers.size(); ++l) {
      EXPECT_EQ(static_cast<double>(net->parameter(kLayers[l]).nnz()), oracle().at("kept")[l])
          << criterion << " " << kLayers[l];
    }
  }
}

TEST(OwlOracle, WithLambdaZeroItIsWanda) {
  const auto owl = pruned({{"lambda", "0"}});
  auto wanda = oracle_net();
  prune_now("wanda",
            {{"sparsity", "0.5"}, {"batches", "1"}},
            *wanda,
            inputs_of(Tensor::from({16, 8}, oracle().at("images"))));
  for (const std::string& name : kLayers) {
    EXPECT_EQ(mask_of(owl->parameter(name)), mask_of(wanda->parameter(name))) << name;
  }
}

TEST(SettledNumbers, LayersOfTheirOwnSparsityWorkInStages) {
  // A name that fits no layer of a stage was an error, and rows did not look at the number.
  auto net = oracle_net();
  prune_now("wanda",
            {{"sparsity", "0.5"}, {"batches", "1"}, {"layer-sparsity", "1.0=0.25,2=0.75"}},
            *net,
            inputs_of(Tensor::from({16, 8}, oracle().at("images"))));
  const std::vector<int64_t> kept = {32, 48, 32, 8};
  for (size_t l = 0; l < kLayers.size(); ++l) {
    EXPECT_EQ(net->parameter(kLayers[l]).nnz(), kept[l]) << kLayers[l];
    const std::vector<int> mask = mask_of(net->parameter(kLayers[l]));
    const int64_t rows = net->parameter(kLayers[l]).shape()[0];
    for (auto row = mask.begin(); row != mask.end(); row += 8) {
      EXPECT_EQ(std::accumulate(row, row + 8, int64_t{0}), kept[l] / rows) << kLayers[l];
    }
  }
}

TEST(SettledNumbers, ALayerWithoutOneIsAnError) {
  const auto settled = settled_allocation({{"a.weight", 3}}, *make_allocation("uniform"));
  const Layers layers({{"a.weight", 0}, {"b.weight", 0}});
  EXPECT_EQ(settled->keep(std::span(layers.views).first(1), Sparsity(0.5)),
            (std::vector<int64_t>{3}));
  EXPECT_THROW(settled->keep(layers.views, Sparsity(0.5)), ValueError);
}

TEST(Owl, MeetsATargetOfComputation) {
  for (const char* criterion : {"wanda", "magnitude"}) {
    auto net = oracle_net();
    net->to(DType::F32);
    PruneInputs inputs = inputs_of(Tensor::from({16, 8}, oracle().at("images")).to(DType::F32));
    inputs.input_shape = {8};
    prune_now(
        "owl",
        {{"target", "params=0.5"}, {"outlier", "2"}, {"batches", "1"}, {"criterion", criterion}},
        *net,
        inputs);
    int64_t kept = 0;
    for (const std::string& name : kLayers) kept += net->parameter(name).nnz();
    EXPECT_EQ(kept, 112) << criterion;
  }
}

}  // namespace
}  // namespace espalier::prune
