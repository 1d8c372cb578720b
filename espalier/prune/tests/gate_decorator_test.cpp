// SPDX-License-Identifier: Apache-2.0
/// Gate decorator: the card's gate and sums, PyTorch's decorated norms (oracles/gate_decorator.py),
/// the plan of ticks and tocks, and the traps.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/actions/gate_ticks.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::mask_of;
using testing::tiny_conv_net;

constexpr double kCard = 1e-12;
constexpr double kOracle = 1e-10;

std::vector<Site> sites_of(nn::Module& net, const Shape& sample) {
  std::vector<std::string> notes;
  return channel_sites(net, channel_groups(net, sample), prunable_weights(net), false, notes);
}

std::vector<std::vector<double>> scores_by(const std::shared_ptr<GateSums>& sums,
                                           nn::Module& net,
                                           const std::vector<Site>& sites) {
  Rng rng(1);
  const auto weights = prunable_weights(net);
  const PruneInputs inputs;
  return gate_ticks_score(sums)->score_units({net, weights, inputs, rng}, sites);
}

TEST(GateTaylor, IsOfTheGateThatTakesTheScalesPlace) {
  // gamma = 2, beta = -4: 2 x - 4 = 2 (x - 2), so dL/dphi = dL/dgamma - 2 dL/dbeta.
  EXPECT_NEAR(gate_taylor(2, -4, 0.5, 0.1), 2 * std::abs(0.5 - 2 * 0.1), kCard);
  // Trap: a tiny scale makes beta / gamma explode; it is held at 10.
  EXPECT_NEAR(gate_taylor(0.01, 1, 0.5, 0.1), 0.01 * (0.5 + 10 * 0.1), kCard);
  EXPECT_NEAR(gate_taylor(-0.01, 1, 0.5, 0.1), 0.01 * std::abs(0.5 - 10 * 0.1), kCard);
  EXPECT_EQ(gate_taylor(0, 1, 0.5, 0.1), 0.0);
}

/// A step in which every scale of the first norm has this gradient, and nothing else has any.
void tick(Action& action, nn::Sequential& net, double gradient) {
  nn::Sgd sgd(net, {});
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 2};
  const LayerPatterns pattern(make_pattern("channel"));
  const PruneSettings settings;
  const PruneInputs inputs;
  for (const nn::NamedParameter& one : net.named_parameters()) {
    Tensor own = Tensor::zeros(one.parameter->shape(), DType::F32);
    if (one.name == "1.weight") own.fill_(gradient);
    one.parameter->value.set_grad(Variable(own));
  }
  action.after_backward({net, &sgd, pattern, settings, inputs}, state);
}

TEST(GateTicks, AbsoluteValuesAreAddedStepByStep) {
  // Trap: +.3 and -.3 with phi = 2 are 1.2 together, not 0.
  const auto net = tiny_conv_net();
  net->parameter("1.weight").value.value().fill_(2.0);
  const auto sums = std::make_shared<GateSums>();
  const auto action = gate_ticks(sums);
  tick(*action, *net, 0.3);
  tick(*action, *net, -0.3);
  const auto scores = scores_by(sums, *net, sites_of(*net, {3, 8, 8}));
  expect_near(Tensor::from({8}, scores.at(0)), std::vector<double>(8, 1.2), 1e-6);
}

TEST(GateTicks, ChannelsOfASumAddTheirScores) {
  // Members (.1, .5) and (.4, .2): (.5, .7), so that the first goes from both, not each another.
  auto net = testing::tiny_residual_net();
  const std::vector<Site> sites = sites_of(*net, {3, 8, 8});
  const auto sums = std::make_shared<GateSums>();
  std::vector<double> one = {0.1, 0.5, 1, 1, 1, 1, 1, 1};
  std::vector<double> other = {0.4, 0.2, 1, 1, 1, 1, 1, 1};
  (*sums)["1.weight"] = Tensor::from({8}, one);
  (*sums)["4.main.4.weight"] = Tensor::from({8}, other);
  const auto scores = scores_by(sums, *net, sites);
  EXPECT_NEAR(scores[0][0], 0.5, kCard);
  EXPECT_NEAR(scores[0][1], 0.7, kCard);
  EXPECT_EQ(scores[1], std::vector<double>(8, 0.0));
}

TEST(GateTicks, ConvolutionsStandStillUnderMomentumAndWeightDecay) {
  // Trap: zero gradients freeze nothing.
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9}, 0.1);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 2};
  const LayerPatterns pattern(make_pattern("channel"));
  const PruneSettings settings;
  const PruneInputs inputs{.input_shape = {3, 8, 8}};
  const auto action = gate_ticks(std::make_shared<GateSums>());
  Rng rng(2);
  Tensor x = Tensor::empty({4, 3, 8, 8}, DType::F32);
  fill_normal_(x, rng, 0.0, 1.0);
  const auto step = [&](bool ticks) {
    net->zero_grad();
    cross_entropy((*net)(Variable(x)), Tensor::zeros({4}, DType::I64)).backward();
    if (ticks) action->after_backward({*net, &sgd, pattern, settings, inputs}, state);
    sgd.step();
  };
  const auto values = [&](const char* name) {
    return net->parameter(name).value.value().to_vector<double>();
  };
  step(false);
  const auto conv = values("3.weight");
  const auto scale = values("4.weight");
  const auto linear = values("7.weight");
  step(true);
  EXPECT_EQ(values("3.weight"), conv);
  EXPECT_NE(values("4.weight"), scale);
  EXPECT_NE(values("7.weight"), linear);
}

TEST(GateTicks, WeightDecayIsOnGatesAndStatisticsGoOn) {
  // Traps: weight decay acts on gates as on all that trains; norms behind frozen convolutions see
  // the batches and renew their statistics.
  const auto net = tiny_conv_net();
  net->train();
  nn::Sgd sgd(*net, {.lr = 0.1}, 0.5);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 2};
  const LayerPatterns pattern(make_pattern("channel"));
  const PruneSettings settings;
  const PruneInputs inputs{.input_shape = {3, 8, 8}};
  const Subject subject{*net, &sgd, pattern, settings, inputs};
  const auto action = gate_ticks(std::make_shared<GateSums>());
  const auto statistics = [&] {
    return net->state_dict().at("4.running_mean").to_vector<double>();
  };
  const auto conv = net->parameter("3.weight").value.value().to_vector<double>();
  const std::vector<double> before = statistics();
  action->enter(subject, state);
  action->before_step(subject, state);
  (*net)(Variable(Tensor::ones({2, 3, 8, 8})));
  for (const nn::NamedParameter& one : net->named_parameters()) {
    one.parameter->value.set_grad(Variable(Tensor::zeros(one.parameter->shape(), DType::F32)));
  }
  action->after_backward(subject, state);
  sgd.step();
  EXPECT_NE(statistics(), before);
  EXPECT_EQ(net->parameter("3.weight").value.value().to_vector<double>(), conv);
  expect_near(
      net->parameter("4.weight").value.value(), std::vector<double>(16, 1 - 0.1 * 0.5), 1e-6);
}

TEST(GateDecorator, StartsWithATockAndRemovesTheSameShareAtEveryTick) {
  const Timeline timeline =
      choose_method(method("gate-decorator"),
                    parse_settings(method("gate-decorator"),
                                   {{"sparsity", "0.75"}, {"rounds", "4"}, {"ticks", "2"}}))
          .timeline();
  // tock, (tick, update) x 2, tock, (tick, update) x 2.
  ASSERT_EQ(timeline.events.size(), 10U);
  EXPECT_EQ(timeline.events[0].from, 0.0);
  EXPECT_NEAR(timeline.events[0].until, 0.125, kCard);
  EXPECT_NEAR(timeline.events[1].until, 0.1875, kCard);
  EXPECT_NEAR(timeline.events[5].from, 0.25, kCard);
  EXPECT_EQ(timeline.events[5].action, timeline.events[0].action);
  EXPECT_EQ(timeline.events[9].moments->moments({.steps = 160}, Sparsity(0.75))[0].step, 80);
  double left = 1.0;
  for (const size_t event : {2, 4, 7, 9}) {
    const auto moments = timeline.events[event].moments->moments({.steps = 160}, Sparsity(0.75));
    ASSERT_EQ(moments.size(), 1U);
    EXPECT_NEAR(1.0 - moments[0].sparsity.value(), left * std::sqrt(0.5), 1e-9);
    left = 1.0 - moments[0].sparsity.value();
  }
}

TEST(GateDecorator, EveryLayerKeepsATenth) {
  // All scores are 0, and of 80 channels the first 16 would stay, all of them in the first layer.
  nn::Sequential net;
  for (const int64_t in : {3, 40}) {
    net.add(nn::Conv2d({.in_channels = in, .out_channels = 40, .kernel = 3, .padding = 1}));
    net.add(nn::BatchNorm2d({.channels = 40}));
    net.add(nn::ReLU());
  }
  net.add(nn::AdaptiveAvgPool2d(1));
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 40, .out = 3}));
  testing::prune_now("gate-decorator",
                     {{"sparsity", "0.8"}, {"rounds", "1"}, {"prune-at", "0"}},
                     net,
                     {.input_shape = {3, 8, 8}});
  EXPECT_EQ(net.parameter("1.weight").nnz(), 12);
  EXPECT_EQ(net.parameter("4.weight").nnz(), 4);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/gate_decorator.inc>
  };
  return values;
}

TEST(GateDecoratorOracle, ScoresAndATickAreThoseOfDecoratedNorms) {
  const auto conv = [](int64_t in, int64_t out) {
    return nn::Conv2d(
        {.in_channels = in, .out_channels = out, .kernel = 3, .padding = 1, .bias = false});
  };
  nn::Sequential net;
  net.add(conv(2, 4));
  net.add(nn::BatchNorm2d({.channels = 4}));
  net.add(nn::ReLU());
  auto main = std::make_shared<nn::Sequential>();
  main->add(conv(4, 5));
  main->add(nn::BatchNorm2d({.channels = 5}));
  main->add(nn::ReLU());
  main->add(conv(5, 4));
  main->add(nn::BatchNorm2d({.channels = 4}));
  net.add(nn::Residual({.main = main}));
  net.add(nn::AdaptiveAvgPool2d(1));
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 4, .out = 3}));
  net.to(DType::F64);
  for (const nn::NamedParameter& one : net.named_parameters()) {
    one.parameter->value.value().copy_(Tensor::from(one.parameter->shape(), oracle().at(one.name)));
  }
  nn::Sgd sgd(net, {.lr = 0.1, .momentum = 0.9}, 0.01);
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 3};
  const LayerPatterns pattern(make_pattern("channel"));
  const PruneSettings settings;
  const PruneInputs inputs{.input_shape = {2, 4, 4}};
  const Subject subject{net, &sgd, pattern, settings, inputs};
  const auto sums = std::make_shared<GateSums>();
  const auto action = gate_ticks(sums);
  action->enter(subject, state);
  const Variable images(Tensor::from({6, 2, 4, 4}, oracle().at("images")));
  const Tensor labels = Tensor::from({6}, oracle().at("labels")).to(DType::I64);
  for (int step = 0; step < 3; ++step) {
    net.zero_grad();
    cross_entropy(net(images), labels).backward();
    action->after_backward(subject, state);
    sgd.step();
  }
  const auto scores = scores_by(sums, net, sites_of(net, {2, 4, 4}));
  ASSERT_EQ(scores.size(), 2U);
  for (size_t s = 0; s < 2; ++s) {
    const std::vector<double>& right = oracle().at(cat("scores ", s));
    for (size_t u = 0; u < right.size(); ++u) EXPECT_NEAR(scores[s][u], right[u], kOracle);
  }
  int compared = 0;
  for (const nn::NamedParameter& one : net.named_parameters()) {
    const auto after = oracle().find("after " + one.name);
    const bool convolution = one.parameter->shape().rank() == 4;
    const std::vector<double>& right = convolution ? oracle().at(one.name) : after->second;
    expect_near(one.parameter->value.value(), right, kOracle);
    ++compared;
  }
  EXPECT_EQ(compared, 11);
}

}  // namespace
}  // namespace espalier::prune
