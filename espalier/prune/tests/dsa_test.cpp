// SPDX-License-Identifier: Apache-2.0
/// DSA: the card's example, PyTorch's probabilities and gradients (oracles/dsa.py), the constraint,
/// and the traps.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/actions/learn_ratios.h>
#include <espalier/prune/actions/step_gates.h>
#include <espalier/prune/penalties/resource.h>
#include <espalier/prune/penalties/soft_keep.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_residual_net;

constexpr double kSolved = 1e-12;
constexpr double kDifferences = 1e-7;  // of central differences
constexpr double kGradient = 1e-6;     // in float32

Tensor numbers(const std::vector<double>& values) {
  return Tensor::from<double>({static_cast<int64_t>(values.size())}, values);
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

TEST(SoftKeep, IsTheCards) {
  // b = (1, 2, 4), beta2 = 1, alpha = 1/2: beta1 = 2, f = (2/9, 1/4, 2/9).
  const SoftKeep keep = soft_keep(std::vector<double>{1, 2, 4}, 0.5, 1.0);
  expect_near(numbers(keep.open), {1.0 / 3, 1.0 / 2, 2.0 / 3}, kSolved);
  expect_near(numbers(keep.slope), {0.96, 1.08, 0.96}, kSolved);
}

TEST(SoftKeep, TakesEqualAndDeadChannels) {
  // Trap: scales of zero, and all alike, at any sharpness.
  for (const double sharpness : {1.0, 50.0, 1e4}) {
    for (const std::vector<double>& b :
         {std::vector<double>{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 1e-12, 1, 1e6}, {0.5, 0.5, 0.5, 3}}) {
      for (const double alpha : {0.1, 0.25, 0.5, 0.9933}) {
        const SoftKeep keep = soft_keep(b, alpha, sharpness);
        // The bisection's threshold is a double, which a sharp p notices.
        EXPECT_NEAR(mean(keep.open), alpha, 1e-9 * sharpness + 1e-9) << sharpness << " " << alpha;
        double sum = 0.0;
        for (const double slope : keep.slope) {
          EXPECT_TRUE(std::isfinite(slope) && slope >= 0.0);
          sum += slope;
        }
        EXPECT_NEAR(sum, 4.0, 1e-9);
      }
    }
  }
  expect_near(numbers(soft_keep(std::vector<double>{2, 2}, 0.3, 7.0).open), {0.3, 0.3}, kSolved);
  EXPECT_THROW(soft_keep(std::vector<double>{1, 2}, 1.0, 1.0), ValueError);
  EXPECT_THROW(soft_keep(std::vector<double>{1, -2}, 0.5, 1.0), ValueError);
}

TEST(SoftKeep, SharpIsTheLargestChannels) {
  const SoftKeep keep = soft_keep(std::vector<double>{3, 1, 4, 2}, 0.5, 1000.0);
  expect_near(numbers(keep.open), {1, 0, 1, 0}, 1e-8);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/dsa.inc>
  };
  return values;
}

TEST(DsaOracle, ProbabilitiesAndTheirDerivativesArePyTorchs) {
  for (int i = 0; i < 3; ++i) {
    const std::vector<double>& of_case = oracle().at(cat("case ", i));
    const SoftKeep keep = soft_keep(oracle().at("importance"), of_case[0], of_case[1]);
    expect_near(numbers(keep.open), oracle().at(cat("open ", i)), 1e-11);
    expect_near(numbers(keep.slope), oracle().at(cat("slope ", i)), kDifferences);
  }
}

std::vector<Site> sites_of(nn::Module& net, const Shape& image) {
  const PruneInputs inputs{.input_shape = image};
  const PruneSettings settings;
  return MaskUpdate(net, make_pattern("channel"), settings, inputs, SiteRules{}).sites();
}

TEST(DsaOracle, GatesInReadersHaveTheGradientsOfGatesOnWhatTheyRead) {
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 2, .out_channels = 4, .padding = 1, .bias = false}));
  net.add(nn::BatchNorm2d({.channels = 4}));
  net.add(nn::ReLU());
  net.add(nn::Conv2d({.in_channels = 4, .out_channels = 3, .kernel = 1, .bias = false}));
  net.add(nn::BatchNorm2d({.channels = 3}));
  net.add(nn::ReLU());
  net.add(nn::AdaptiveAvgPool2d(1));
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 3, .out = 2}));
  for (const nn::NamedParameter& one : net.named_parameters()) {
    one.parameter->value.value().copy_(
        Tensor::from(one.parameter->shape(), oracle().at(one.name)).to(DType::F32));
  }
  const std::vector<Site> sites = sites_of(net, {2, 3, 3});
  ASSERT_EQ(sites.size(), 2U);
  StepGates gates(sites);
  gates.close(std::vector<std::vector<uint8_t>>{{1, 0, 1, 1}, {0, 1, 1}});
  const Tensor images = Tensor::from({4, 2, 3, 3}, oracle().at("images")).to(DType::F32);
  const Tensor labels = Tensor::from({4}, oracle().at("labels")).to(DType::I64);
  cross_entropy(net(Variable(images)), labels).backward();
  const std::vector<std::vector<double>> slopes = gates.reopen();
  const std::vector<double> alphas = {0.6, 0.7};
  for (size_t s = 0; s < 2; ++s) {
    SCOPED_TRACE(s);
    expect_near(numbers(slopes[s]), oracle().at(cat("gates ", s)), kGradient);
    std::vector<double> importance = oracle().at(s == 0 ? "1.weight" : "4.weight");
    for (double& one : importance) one = std::abs(one);
    const SoftKeep keep = soft_keep(importance, alphas[s], 2.0);
    double of_alpha = 0.0;
    for (size_t c = 0; c < slopes[s].size(); ++c) of_alpha += slopes[s][c] * keep.slope[c];
    EXPECT_NEAR(of_alpha, oracle().at(cat("alpha ", s)).front(), kGradient);
  }
  // Trap: what was closed for a step has its values again, and no gradient of its own.
  for (const char* name : {"0.weight", "1.weight", "1.bias", "3.weight", "4.bias", "8.weight"}) {
    SCOPED_TRACE(name);
    const nn::Parameter& one = net.parameter(name);
    expect_near(one.value.value(), oracle().at(name), 0.0);
    expect_near(one.value.grad().value(), oracle().at(std::string("gradient ") + name), kGradient);
  }
}

TEST(ExpectedCost, IsTheProductOfWhatLives) {
  // 2 * (p0 + p1) * (p2 + p3 + p4), and 5 of each of the last three.
  const std::vector<ResourceTerm> terms = {
      {.layer = "a", .unit = 2.0, .in = {0, 1}, .out = {2, 3, 4}},
      {.layer = "b", .unit = 5.0, .in = {2, 3, 4}, .out = {2, 3, 4}, .depthwise = true}};
  const ExpectedCost cost = expected_cost(terms, std::vector<double>{1, 0.5, 0.5, 0.25, 1});
  EXPECT_DOUBLE_EQ(cost.cost, 2 * 1.5 * 1.75 + 5 * 1.75);
  EXPECT_EQ(cost.slope, (std::vector<double>{3.5, 3.5, 8, 8, 8}));
}

/// Learns shares beside weights and returns them.
RatiosByLayer learnt(nn::Module& net,
                     double sparsity,
                     int64_t steps,
                     const LearnRatiosOptions& options = {.until = 1.0}) {
  const auto ratios = std::make_shared<RatiosByLayer>();
  const auto action = learn_ratios(options, ratios);
  const LayerPatterns pattern(make_pattern("channel"));
  PruneSettings settings;
  settings.sparsity = Sparsity(sparsity);
  const PruneInputs inputs{.input_shape = {3, 8, 8}, .seed = 4};
  nn::Sgd sgd(net, {.lr = 0.02, .momentum = 0.9});
  const Subject subject{net, &sgd, pattern, settings, inputs};
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = steps};
  action->check(subject);
  action->enter(subject, state);
  const auto loader = tiny_loader();
  const auto batches = batches_like(*loader);
  for (; state.step < steps; ++state.step) {
    const data::Batch batch = batches(state.step);
    action->before_step(subject, state);
    sgd.zero_grad();
    cross_entropy(net(Variable(batch.images)), batch.labels).backward();
    action->after_backward(subject, state);
    sgd.step();
  }
  action->leave(subject, state);
  return *ratios;
}

/// Of the weights of tiny_conv_net.
double weights_left(const RatiosByLayer& ratios) {
  const double first = ratios.at("0.weight");
  const double second = ratios.at("3.weight");
  return (3 * 8 * 9 * first + 8 * 16 * 9 * first * second + 1024 * 3 * second) /
         (3 * 8 * 9 + 8 * 16 * 9 + 1024 * 3);
}

TEST(LearnRatios, BeginsWithNearlyAllAndComesToTheBudget) {
  EXPECT_NEAR(weights_left(learnt(*tiny_conv_net(), 0.5, 0)), 0.993, 0.01);
  EXPECT_NEAR(weights_left(learnt(*tiny_conv_net(), 0.5, 400)), 0.5, 0.1);
  EXPECT_NEAR(weights_left(learnt(*tiny_conv_net(), 0.8, 400)), 0.2, 0.1);
  // Within it nothing is paid, and gates that the loss wants open stay so.
  EXPECT_GT(weights_left(learnt(*tiny_conv_net(), 0.0, 100)), 0.9);
}

TEST(LearnRatios, GroupsOfASumHaveOneShare) {
  const RatiosByLayer ratios = learnt(*tiny_residual_net(), 0.5, 20);
  EXPECT_EQ(ratios.size(), 4U);  // the sum, and the inside of three blocks
  EXPECT_TRUE(ratios.contains("0.weight"));
}

TEST(LearnRatios, NetworkKeepsItsWeightsBetweenSteps) {
  // Trap: gates of a step are not left in the network; without learning it is as it was.
  const auto net = tiny_conv_net();
  const auto before = net->clone();
  const auto ratios = std::make_shared<RatiosByLayer>();
  const auto action = learn_ratios({.until = 1.0}, ratios);
  const LayerPatterns pattern(make_pattern("channel"));
  PruneSettings settings;
  settings.sparsity = Sparsity(0.5);
  const PruneInputs inputs{.input_shape = {3, 8, 8}, .seed = 4};
  nn::Sgd sgd(*net, {});
  const Subject subject{*net, &sgd, pattern, settings, inputs};
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  action->before_step(subject, state);
  action->after_backward(subject, state);
  const auto a = before->state_dict();
  for (const auto& [name, tensor] : net->state_dict()) {
    EXPECT_EQ(tensor.to_vector<double>(), a.at(name).to_vector<double>()) << name;
  }
}

TEST(LearntRatioAllocation, KeepsTheSharesInProportion) {
  const auto ratios = std::make_shared<RatiosByLayer>();
  (*ratios)["a"] = 0.8;
  (*ratios)["b"] = 0.2;
  const auto allocation = learnt_ratio_allocation(ratios);
  const std::vector<double> scores(10, 1.0);
  const std::vector<SiteScores> layers = {{"a", Shape({10, 1}), 10, scores, {}, {}},
                                          {"b", Shape({10, 1}), 10, scores, {}, {}}};
  EXPECT_EQ(allocation->keep(layers, Sparsity(0.5)), (std::vector<int64_t>{8, 2}));
  EXPECT_EQ(allocation->keep(layers, Sparsity(0.75)), (std::vector<int64_t>{4, 1}));
  ratios->clear();
  EXPECT_EQ(allocation->keep(layers, Sparsity(0.5)), (std::vector<int64_t>{5, 5}));
}

TEST(Dsa, MeetsTheTargetToOneChannel) {
  const auto net = tiny_conv_net();
  const PruneInputs inputs{.input_shape = {3, 8, 8}, .seed = 4};
  const auto hook = make_pruner(
      "dsa", parse_settings(method("dsa"), {{"sparsity", "0.5"}, {"prune-at", "1"}}), inputs);
  nn::Sgd sgd(*net, {.lr = 0.02, .momentum = 0.9});
  auto loader = tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.02), *loader, {hook.get()}, {.epochs = 8});
  int64_t gone = 0;
  for (const char* name : {"1.weight", "4.weight"}) {
    const nn::Parameter& scale = net->parameter(name);
    for (const int one : mask_of(scale)) gone += 1 - one;
  }
  EXPECT_GE(gone, 1);
  int64_t left = 0;
  int64_t all = 0;
  for (const char* name : {"0.weight", "3.weight", "7.weight"}) {
    left += net->parameter(name).nnz();
    all += net->parameter(name).numel();
  }
  EXPECT_LE(left, all / 2);
  EXPECT_GT(left, all / 2 - 3 * 64 - 9 * 8);  // a channel of the last convolution
}

}  // namespace
}  // namespace espalier::prune
