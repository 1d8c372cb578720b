// SPDX-License-Identifier: Apache-2.0
/// SynFlow: the hand-worked example, the conservation law, and the traps of its implementation.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/schedules/schedule.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_mlp;

constexpr double kExact = 1e-12;

std::map<std::string, std::vector<double>> scores_of(
    nn::Module& net, const Shape& sample, const std::map<std::string, std::string>& options = {}) {
  const auto tensors = raw_scores(
      "synflow", net, parse_settings(method("synflow"), options), {.input_shape = sample});
  std::map<std::string, std::vector<double>> scores;
  for (const auto& [name, tensor] : tensors) scores[name] = tensor.to_vector<double>();
  return scores;
}

double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

/// Prunes before training, and does nothing else.
void prune_before_training(nn::Module& net, const std::map<std::string, std::string>& options) {
  nn::Sgd sgd(net, {.lr = 0.1});
  auto hook = make_pruner(
      "synflow", parse_settings(method("synflow"), options), {.input_shape = {3, 8, 8}, .seed = 4});
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  EXPECT_EQ(hook->updates().size(), 1U);
}

TEST(Synflow, MatchesTheHandWorkedExample) {
  auto net = linear_chain({{{2, 2}, {1, -2, 0.5F, 0}}, {{1, 2}, {3, -1}}});
  const auto scores = scores_of(*net, {2});
  EXPECT_EQ(scores.at("0.weight"), (std::vector<double>{3, 6, 0.5, 0}));
  EXPECT_EQ(scores.at("1.weight"), (std::vector<double>{9, 0.5}));
}

/// conv, batch norm, ReLU, conv, batch norm, ReLU, max pool, linear; no biases.
std::unique_ptr<nn::Sequential> chain_without_biases() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(
      nn::Conv2d({.in_channels = 3, .out_channels = 5, .kernel = 3, .padding = 1, .bias = false}));
  net->add(nn::BatchNorm2d({.channels = 5, .relu = true}));
  net->add(nn::Conv2d({.in_channels = 5, .out_channels = 4, .kernel = 3, .bias = false}));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  net->add(nn::MaxPool2d({.kernel = 2}));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 4 * 9, .out = 3, .bias = false}));
  testing::randomize(*net, 5);
  return net;
}

TEST(Synflow, EveryLayerOfAChainSumsToTheSameFlow) {
  auto net = chain_without_biases();
  const auto scores = scores_of(*net, {3, 8, 8});
  const double flow = total(scores.at("0.weight"));
  EXPECT_GT(flow, 0.0);
  EXPECT_NEAR(total(scores.at("2.weight")) / flow, 1.0, kExact);
  EXPECT_NEAR(total(scores.at("7.weight")) / flow, 1.0, kExact);
}

TEST(Synflow, WhatEntersAHiddenUnitLeavesIt) {
  auto net = linear_chain({{{3, 2}, {1, -2, 0.5F, 4, -3, 1}}, {{2, 3}, {3, -1, 2, 0.25F, 7, -5}}});
  const auto scores = scores_of(*net, {2});
  for (size_t unit = 0; unit < 3; ++unit) {
    const auto& in = scores.at("0.weight");
    const auto& out = scores.at("1.weight");
    EXPECT_NEAR(in[2 * unit] + in[2 * unit + 1], out[unit] + out[3 + unit], kExact);
  }
}

TEST(Synflow, DeepNetworksDoNotOverflow) {
  // 60 layers of a thousandfold gain: 10^180, where float32 ends at 10^38.
  auto net = linear_chain(std::vector<std::pair<Shape, std::vector<float>>>(60, {{1, 1}, {1000}}));
  const auto scores = scores_of(*net, {1});
  for (const auto& [name, values] : scores) EXPECT_NEAR(values[0] / 1e180, 1.0, 1e-9) << name;
}

TEST(Synflow, DoesNotSeeWhatBatchNormHasLearntOfTheData) {
  auto fresh = chain_without_biases();
  auto trained = chain_without_biases();
  for (const nn::NamedBuffer& one : trained->named_buffers()) one.buffer->fill_(2.5);
  EXPECT_EQ(scores_of(*fresh, {3, 8, 8}), scores_of(*trained, {3, 8, 8}));
  const std::map<std::string, std::string> running = {{"flow-statistics", "running"}};
  EXPECT_EQ(scores_of(*fresh, {3, 8, 8}, running), scores_of(*fresh, {3, 8, 8}));
  EXPECT_NE(scores_of(*trained, {3, 8, 8}, running), scores_of(*trained, {3, 8, 8}));
}

// Trap: the absolute of everything, of batch norm's scales, shifts and statistics too.
TEST(Synflow, SignsOfBatchNormDoNotMatter) {
  const auto scores_with = [](double sign, const std::string& statistics) {
    auto net = chain_without_biases();
    for (const char* name : {"1.weight", "1.bias", "3.weight", "3.bias"}) {
      Tensor& value = net->parameter(name).value.value();
      for (int64_t i = 0; i < value.numel(); ++i) {
        value.data<float>()[i] = static_cast<float>((i % 2 == 0 ? 1.0 : sign) * (0.5 + 0.1 * i));
      }
    }
    for (const nn::NamedBuffer& one : net->named_buffers()) {
      if (one.name.ends_with("running_mean")) one.buffer->fill_(sign * 0.25);
    }
    return scores_of(*net, {3, 8, 8}, {{"flow-statistics", statistics}});
  };
  for (const char* statistics : {"initial", "running"}) {
    EXPECT_EQ(scores_with(-1.0, statistics), scores_with(1.0, statistics)) << statistics;
  }
}

TEST(Synflow, LeavesNoTraceInTheModelAndNeedsNoData) {
  auto net = tiny_conv_net();
  std::map<std::string, std::vector<double>> before;
  for (const auto& [name, tensor] : net->state_dict()) before[name] = tensor.to_vector<double>();
  scores_of(*net, {3, 8, 8});
  for (const auto& [name, tensor] : net->state_dict()) {
    EXPECT_EQ(before.at(name), tensor.to_vector<double>()) << name;
  }
  EXPECT_TRUE(net->training());
  EXPECT_THROW(scores_of(*net, {}), ValueError);
}

TEST(Synflow, KeepsTheFractionOfItsPaceInEveryRound) {
  const auto updates = iterative_schedule(100, 0.0)->moments({.steps = 500}, Sparsity(0.99));
  ASSERT_EQ(updates.size(), 100U);
  for (const Moment& one : updates) EXPECT_EQ(one.step, 0);
  EXPECT_NEAR(updates[49].sparsity.density().value(), 0.1, kExact);
  EXPECT_EQ(updates[99].sparsity, Sparsity(0.99));
  const auto linear =
      iterative_schedule(100, 0.0, Pace::Linear)->moments({.steps = 500}, Sparsity(0.99));
  EXPECT_NEAR(linear[49].sparsity.value(), 0.495, kExact);
  EXPECT_EQ(linear[99].sparsity, Sparsity(0.99));
}

TEST(Synflow, EmptiesNoLayerWhereMagnitudeDoes) {
  // 12 of 4932 weights stay, in three layers of very different size and scale.
  const std::map<std::string, std::string> options = {{"sparsity", "0.99757"}};
  auto net = tiny_mlp();
  prune_before_training(*net, options);
  int64_t kept = 0;
  for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
    EXPECT_GT(net->parameter(name).nnz(), 0) << name;
    kept += net->parameter(name).nnz();
  }
  EXPECT_EQ(kept, 12);
  // The theorem is of any sparsity that leaves a weight to each of the three layers.
  for (const int64_t left : {3, 4, 6, 50, 500}) {
    auto few = tiny_mlp();
    prune_before_training(*few, {{"sparsity", cat(1.0 - static_cast<double>(left) / 4932.0)}});
    int64_t total = 0;
    for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
      EXPECT_GT(few->parameter(name).nnz(), 0) << name << " of " << left;
      total += few->parameter(name).nnz();
    }
    EXPECT_EQ(total, left);
  }
  auto other = tiny_mlp();
  auto magnitude = make_pruner("magnitude", parse_settings(method("magnitude"), options));
  EXPECT_THROW(magnitude->prune(*other, nullptr, Sparsity(0.99757)), ValueError);
}

TEST(Synflow, ExactCountsAmongTheZeroTiesOfADeadUnit) {
  // Trap: with a threshold, all of the zero scores stay or all go.
  auto net = tiny_mlp();
  Tensor& out = net->parameter("5.weight").value.value();
  for (int64_t i = 0; i < out.numel(); ++i) {
    if (i % 12 > 1) out.data<float>()[i] = 0.0F;  // 10 of the 12 hidden units reach no output
  }
  prune_before_training(*net, {{"sparsity", "0.5"}});
  int64_t kept = 0;
  for (const char* name : {"1.weight", "3.weight", "5.weight"}) kept += net->parameter(name).nnz();
  EXPECT_EQ(kept, kept_count(192 * 24 + 24 * 12 + 12 * 3, Sparsity(0.5)));
}

TEST(Synflow, AShuffledMaskHasItsLayerCountsAndTheInitialWeights) {
  auto plain = tiny_mlp();
  auto shuffled = tiny_mlp();
  prune_before_training(*plain, {{"sparsity", "0.9"}});
  prune_before_training(*shuffled, {{"sparsity", "0.9"}, {"ablation", "shuffle"}});
  auto initial = tiny_mlp();
  for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
    const nn::Parameter& a = plain->parameter(name);
    const nn::Parameter& b = shuffled->parameter(name);
    EXPECT_EQ(a.nnz(), b.nnz()) << name;
    EXPECT_NE(mask_of(a), mask_of(b)) << name;
    const auto values = b.value.value().to_vector<float>();
    const auto first = initial->parameter(name).value.value().to_vector<float>();
    const std::vector<int> mask = mask_of(b);
    for (size_t i = 0; i < mask.size(); ++i) {
      ASSERT_EQ(values[i], mask[i] == 1 ? first[i] : 0.0F) << name;
    }
  }
}

}  // namespace
}  // namespace espalier::prune
