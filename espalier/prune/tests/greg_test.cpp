// SPDX-License-Identifier: Apache-2.0
/// GReg: the card's decay and separation, PyTorch's steps (oracles/greg.py), and the traps.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using testing::mask_of;
using testing::Options;
using testing::Oracle;

constexpr double kCard = 1e-12;

/// These weights, of one output.
std::unique_ptr<nn::Sequential> weights_of(const std::vector<float>& values) {
  auto net = testing::linear_chain({{{1, static_cast<int64_t>(values.size())}, values}});
  net->to(DType::F64);
  return net;
}

/// Steps of SGD on sum h/2 (w - 1)^2 under a decay; what goes is the half with the smallest |w|.
void train(nn::Module& net,
           const GrowingDecayOptions& options,
           int64_t steps,
           double rate,
           const std::vector<double>& h,
           double weight_decay = 0.0) {
  const LayerPatterns pattern(make_pattern("unstructured"));
  const PruneSettings settings{.sparsity = Sparsity(0.5)};
  const PruneInputs inputs;
  nn::Sgd sgd(net, {.lr = rate}, weight_decay);
  const auto update = mask_update({.score = magnitude_score(), .allocation = uniform_allocation()});
  const auto decay = grow_decay(options, update, Sparsity(0.5));
  const Subject subject{net, &sgd, pattern, settings, inputs};
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = steps};
  decay->enter(subject, state);
  nn::Parameter& w = net.parameter("0.weight");
  for (; state.step < steps; ++state.step) {
    net.zero_grad();
    const Variable away = w.value + -1.0;
    sum(away * away * Variable(Tensor::from<double>(w.shape(), h)) * 0.5).backward();
    decay->after_backward(subject, state);
    sgd.step();
  }
}

std::vector<double> values_of(nn::Module& net) {
  return net.parameter("0.weight").value.value().to_vector<double>();
}

TEST(GReg, WithoutALossTheWeightShrinksByTheCardsProduct) {
  // Trap: reg w is added to the gradient; half of it, or twice, would give .9999997 or .9999988.
  auto net = weights_of({1, 2});
  train(*net,
        {.until = 2.0 / 3.0, .strength = 3e-4, .first = 1e-4, .decayed = Decayed::Units},
        3,
        1e-3,
        {0, 0});
  EXPECT_NEAR(values_of(*net)[0], (1 - 1e-7) * (1 - 2e-7) * (1 - 3e-7), kCard);
  EXPECT_NEAR(values_of(*net)[0], 0.9999994, kCard);
  EXPECT_EQ(values_of(*net)[1], 2.0);
}

TEST(GReg, APenaltyOnAllSeparatesWeightsByTheirCurvature) {
  // At rest w = h / (h + reg): 1 / 1.1 and 0.1 / 0.2.
  auto net = weights_of({0.7F, 0.7F});
  train(*net, {.until = 0.0, .strength = 0.1, .decayed = Decayed::All}, 400, 0.5, {1.0, 0.1});
  EXPECT_NEAR(values_of(*net)[0], 1.0 / 1.1, kCard);
  EXPECT_NEAR(values_of(*net)[1], 0.5, 1e-9);
}

TEST(GReg, WhatStaysGrowsAndWeightDecayStaysOn) {
  // Traps: a decay of what is kept, and a weight decay that the penalty replaces.
  auto net = weights_of({1, 2});
  train(*net,
        {.until = 0.0, .strength = 1.0, .others = -0.25, .decayed = Decayed::Units},
        1,
        0.5,
        {0, 0},
        0.125);
  EXPECT_NEAR(values_of(*net)[0], 1 - 0.5 * (1.0 + 0.125), kCard);
  EXPECT_NEAR(values_of(*net)[1], 2 + 0.5 * 2 * (0.25 - 0.125), kCard);
}

TEST(GReg, DecaysTheFiltersThatGoAndNotWhatReadsThem) {
  auto net = testing::tiny_conv_net();
  const LayerPatterns pattern(make_pattern("channel"));
  const PruneSettings settings{.sparsity = Sparsity(0.5)};
  const PruneInputs inputs{.input_shape = {3, 8, 8}};
  nn::Sgd sgd(*net, {.lr = 1.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 1};
  const auto chosen = std::make_shared<MasksByName>();
  const auto decay =
      grow_decay({.until = 0.0, .decayed = Decayed::Units, .chosen = chosen},
                 mask_update({.score = magnitude_score(), .allocation = uniform_allocation()}),
                 Sparsity(0.5));
  decay->enter({*net, &sgd, pattern, settings, inputs}, state);
  // The second layer's filters are chosen by their own rows, all columns of them.
  const std::vector<int> second = chosen->at("3.weight").to_vector<int>();
  int64_t rows = 0;
  for (size_t row = 0; row < 16; ++row) {
    for (size_t i = 0; i < 72; ++i) EXPECT_EQ(second[row * 72 + i], second[row * 72]);
    rows += second[row * 72];
  }
  EXPECT_EQ(rows, 8);
  EXPECT_FALSE(chosen->contains("1.weight"));
  EXPECT_FALSE(chosen->contains("7.weight"));
}

TEST(GReg, RemovesWhatWasChosenAtFirstWhateverItHasBecome) {
  // Trap: to choose again at the end. Without a penalty the small weights grow to 1, as all do.
  auto net = weights_of({0.1F, -2.0F, 0.2F, 3.0F});
  const auto pruner = make_pruner(
      "greg",
      parse_settings(method("greg"),
                     {{"sparsity", "0.5"}, {"pattern", "unstructured"}, {"strength", "0"}}));
  nn::Sgd sgd(*net, {.lr = 0.5});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 8};
  pruner->before_training(state);
  pruner->before_step(state);
  net->parameter("0.weight").value.value().copy_(Tensor::from<double>({1, 4}, {9, 1, 9, 1}));
  for (state.step = 1; state.step <= 4; ++state.step) pruner->before_step(state);
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 1, 0, 1}));
}

TEST(GReg, OneFilterOfALayerStaysWhateverTheShareIs) {
  // Trap: 0.9 of four filters are four, rounded to the nearest or up; at most three go.
  nn::Sequential net;
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{3, 4}, {4, 160}}) {
    net.add(nn::Conv2d(
        {.in_channels = in, .out_channels = out, .kernel = 3, .padding = 1, .bias = false}));
    net.add(nn::BatchNorm2d({.channels = out}));
    net.add(nn::ReLU());
  }
  net.add(nn::AdaptiveAvgPool2d(1));
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 160, .out = 3}));
  testing::randomize(net, 2);
  testing::prune_now(
      "greg", {{"sparsity", "0.9"}, {"prune-at", "0"}}, net, {.input_shape = {3, 8, 8}});
  EXPECT_EQ(net.parameter("0.weight").nnz(), 27);
  EXPECT_EQ(net.parameter("3.weight").nnz(), 16 * 9);
}

TEST(GReg, ChannelsOfResidualSumsStay) {
  auto net = testing::tiny_residual_net();
  UpdateReport report;
  testing::prune_now(
      "greg", {{"sparsity", "0.5"}, {"prune-at", "0"}}, *net, {.input_shape = {3, 8, 8}}, &report);
  EXPECT_FALSE(net->parameter("0.weight").masked());
  EXPECT_EQ(net->parameter("3.main.0.weight").nnz(), 4 * 8 * 9);
}

const Oracle& oracle() {
  static const Oracle values = {
#include <espalier/prune/tests/oracles/greg.inc>
  };
  return values;
}

TEST(GRegOracle, StepsAndMasksAreThoseOfPyTorch) {
  for (const std::string variant : {"1", "2"}) {
    SCOPED_TRACE(variant);
    Oracle of_variant;
    for (const auto& [name, values] : oracle()) {
      of_variant[name.starts_with(variant + " ") ? name.substr(2) : name] = values;
    }
    Options given = {
        {"sparsity", "0.5"}, {"pattern", "unstructured"}, {"prune-at", "1"}, {"variant", variant}};
    if (variant == "2") given.insert({{"picking-strength", "0.25"}, {"kept-strength", "0.05"}});
    testing::SmallTraining training(of_variant);
    const int compared = training.run(
        choose_method(method("greg"), parse_settings(method("greg"), given)).timeline(),
        {},
        Sparsity(0.5));
    EXPECT_EQ(compared, 2 * 4 + 1);
  }
}

}  // namespace
}  // namespace espalier::prune
