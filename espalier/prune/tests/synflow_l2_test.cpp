// SPDX-License-Identifier: Apache-2.0
/// SynFlow-L2: the card's example, PyTorch's scores, masks and enumerated paths
/// (oracles/synflow_l2.py), the law of conservation, and the traps.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::kExact;
using testing::linear_chain;
using testing::mask_of;
using testing::Options;
using testing::prune_now;

std::map<std::string, std::vector<double>> scores_of(nn::Module& net,
                                                     const PruneInputs& inputs,
                                                     const Options& options = {}) {
  std::map<std::string, std::vector<double>> scores;
  for (const auto& [name, tensor] :
       raw_scores("synflow-l2", net, parse_settings(method("synflow-l2"), options), inputs)) {
    scores[name] = tensor.to_vector<double>();
  }
  return scores;
}

double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

TEST(SynflowL2, MatchesTheHandWorkedExample) {
  // Trap: |w| dF/dv in place of w^2 dF/dv gives 9, 18, 0.5 and 15, 0.25, and sums that differ.
  auto net = linear_chain({{{2, 2}, {1, -2, 0.5F, 0}}, {{1, 2}, {3, -1}}});
  const auto scores = scores_of(*net, {.input_shape = {2}});
  EXPECT_EQ(scores.at("0.weight"), (std::vector<double>{9, 36, 0.25, 0}));
  EXPECT_EQ(scores.at("1.weight"), (std::vector<double>{45, 0.25}));
  EXPECT_EQ(path_kernel_trace(*net, prunable_weights(*net), {2}), 25.25);
}

TEST(SynflowL2, MeasuresWhatAMaskLeavesOfThePathKernel) {
  // Without w = -2 there are the paths 1*3 and 0.5*-1 (and 0*-1, whose gradient to 0 is 1).
  auto net = linear_chain({{{2, 2}, {1, -2, 0.5F, 0}}, {{1, 2}, {3, -1}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({2, 2}, {1, 0, 1, 1}));
  EXPECT_EQ(path_kernel_trace(*net, prunable_weights(*net), {2}), (9 + 1) + (1 + 0.25) + 1);
}

TEST(SynflowL2, EveryLayerOfAChainSumsToTheSameFlow) {
  // 100 layers of width 6 with He's initial values.
  std::vector<std::pair<Shape, std::vector<float>>> layers;
  Rng rng(3, "test weights");
  for (int layer = 0; layer < 100; ++layer) {
    std::vector<float> values(36);
    for (float& value : values) value = static_cast<float>(rng.normal() * std::sqrt(2.0 / 6.0));
    layers.push_back({{6, 6}, values});
  }
  auto net = linear_chain(layers);
  const auto scores = scores_of(*net, {.input_shape = {6}});
  const double flow = total(scores.at("0.weight"));
  ASSERT_GT(flow, 0.0);
  for (const auto& [name, values] : scores) EXPECT_NEAR(total(values) / flow, 1.0, kExact) << name;
}

TEST(SynflowL2, SaysWhenSquaresAreTooSmallForFloat64) {
  // Trap: 10^-6 to the power of 60 is 0, and all scores are equal.
  auto net = linear_chain(std::vector<std::pair<Shape, std::vector<float>>>(60, {{1, 1}, {1e-3F}}));
  EXPECT_THROW(scores_of(*net, {.input_shape = {1}}), ValueError);
  auto large =
      linear_chain(std::vector<std::pair<Shape, std::vector<float>>>(60, {{1, 1}, {1e3F}}));
  EXPECT_THROW(scores_of(*large, {.input_shape = {1}}), ValueError);
}

TEST(SynflowL2, RanksOtherWeightsThanSynflow) {
  // One unit has two paths of 2 (4 in all, squares 8), the other one of 3 (squares 9).
  const auto kept = [](const std::string& name) {
    auto net = linear_chain({{{2, 3}, {2, 2, 0, 0, 0, 3}}, {{1, 2}, {1, 1}}});
    prune_now(name,
              {{"sparsity", "0.75"}, {"rounds", "1"}, {"allow-collapse", "true"}},
              *net,
              {.input_shape = {3}});
    return mask_of(net->parameter("1.weight"));
  };
  EXPECT_EQ(kept("synflow"), (std::vector<int>{1, 0}));
  EXPECT_EQ(kept("synflow-l2"), (std::vector<int>{0, 1}));
}

TEST(SynflowL2, EmptiesNoLayer) {
  for (const int64_t left : {3, 4, 6, 12, 50}) {
    auto net = testing::tiny_mlp();
    prune_now("synflow-l2",
              {{"sparsity", cat(1.0 - static_cast<double>(left) / 4932.0)}},
              *net,
              {.input_shape = {3, 8, 8}});
    int64_t kept = 0;
    for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
      EXPECT_GT(net->parameter(name).nnz(), 0) << name << " of " << left;
      kept += net->parameter(name).nnz();
    }
    EXPECT_EQ(kept, left);
  }
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/synflow_l2.inc>
  };
  return values;
}

std::unique_ptr<nn::Sequential> oracle_net() {
  const auto conv = [](int64_t in) {
    return nn::Conv2d(
        {.in_channels = in, .out_channels = 4, .kernel = 3, .padding = 1, .bias = false});
  };
  auto net = std::make_unique<nn::Sequential>();
  net->add(conv(2));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  auto main = std::make_shared<nn::Sequential>();
  main->add(conv(4));
  net->add(nn::Residual({.main = main}));
  net->add(nn::AdaptiveAvgPool2d(1));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 4, .out = 3}));
  net->to(DType::F64);
  for (const nn::NamedParameter& one : net->named_parameters()) {
    one.parameter->value.value().copy_(Tensor::from(one.parameter->shape(), oracle().at(one.name)));
  }
  return net;
}

void expect_share(const std::vector<double>& found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], kExact * (1.0 + expected[i])) << i;
  }
}

TEST(SynflowL2Oracle, ScoresAreThoseOfPyTorch) {
  const auto net = oracle_net();
  for (const auto& [name, scores] : scores_of(*net, {.input_shape = {2, 4, 4}})) {
    expect_share(scores, oracle().at("score " + name));
  }
  const PruneInputs data{.batch = [](int64_t) {
    return data::Batch{Tensor::from({3, 2, 4, 4}, oracle().at("images")),
                       Tensor::zeros({3}, DType::I64)};
  }};
  for (const auto& [name, scores] :
       scores_of(*net, data, {{"flow-input", "mean-square"}, {"input-batches", "2"}})) {
    expect_share(scores, oracle().at("mean-square " + name));
  }
}

TEST(SynflowL2Oracle, MasksOfFourRoundsAreThoseOfPyTorch) {
  const auto net = oracle_net();
  prune_now("synflow-l2", {{"sparsity", "0.9"}, {"rounds", "4"}}, *net, {.input_shape = {2, 4, 4}});
  for (const nn::NamedParameter& one : prunable_weights(*net)) {
    const std::vector<double>& mask = oracle().at("mask " + one.name);
    EXPECT_EQ(mask_of(*one.parameter), std::vector<int>(mask.begin(), mask.end())) << one.name;
  }
}

TEST(SynflowL2Oracle, ScoresAreSumsOverPaths) {
  const auto floats = [](const std::string& name) {
    const std::vector<double>& values = oracle().at(name);
    return std::vector<float>(values.begin(), values.end());
  };
  const auto net = linear_chain({{{4, 3}, floats("perceptron 0")},
                                 {{3, 4}, floats("perceptron 1")},
                                 {{2, 3}, floats("perceptron 2")}});
  const auto scores = scores_of(*net, {.input_shape = {3}});
  for (int layer = 0; layer < 3; ++layer) {
    expect_share(scores.at(cat(layer, ".weight")), oracle().at(cat("paths ", layer)));
  }
  expect_share({path_kernel_trace(*net, prunable_weights(*net), {3})}, oracle().at("trace"));
}

}  // namespace
}  // namespace espalier::prune
