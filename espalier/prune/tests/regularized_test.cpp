// SPDX-License-Identifier: Apache-2.0
/// Network Slimming and SSL: the cards' exact examples, and what their trainings do.
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/scores/norm_scale.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;

constexpr double kFloatTolerance = 1e-6;

nn::Parameter vector_of(const std::vector<float>& values, const std::vector<float>& gradient) {
  nn::Parameter parameter(Tensor::from<float>({1, static_cast<int64_t>(values.size())}, values));
  parameter.value.set_grad(Variable(Tensor::from<float>(parameter.shape(), gradient)));
  return parameter;
}

std::vector<float> gradient_of(const nn::Parameter& parameter) {
  return parameter.value.grad().value().to_vector<float>();
}

const Units kOneGroup{.count = 1, .of_weight = {0, 0}};

int64_t pruned_weights(nn::Module& net) {
  int64_t count = 0;
  for (const nn::NamedParameter& one : net.named_parameters()) {
    count += one.parameter->numel() - one.parameter->nnz();
  }
  return count;
}

TEST(Penalty, L1AddsTheSignAndNothingAtZero) {
  nn::Parameter p = vector_of({2, -3, 0, 5}, {1, 1, 1, 1});
  p.set_mask(Tensor::from<uint8_t>({1, 4}, {1, 1, 1, 0}));
  p.value.set_grad(Variable(Tensor::from<float>({1, 4}, {1, 1, 1, 0})));
  const Variable before = p.value.grad();
  add_l1_gradient(p, 0.5);
  EXPECT_EQ(gradient_of(p), (std::vector<float>{1.5F, 0.5F, 1, 0}));
  // A gradient may share its tensor with another leaf's: it must not be written to.
  EXPECT_EQ(before.value().to_vector<float>(), (std::vector<float>{1, 1, 1, 0}));
}

TEST(Penalty, GroupLassoSubgradientShrinksTheNormByTheStep) {
  // w = (3, 4), strength 0.5, rate 0.1: (2.97, 3.96).
  nn::Parameter p = vector_of({3, 4}, {0, 0});
  add_group_lasso_gradient(p, kOneGroup, 0.5);
  const auto g = gradient_of(p);
  EXPECT_NEAR(3 - 0.1 * g[0], 2.97, kFloatTolerance);
  EXPECT_NEAR(4 - 0.1 * g[1], 3.96, kFloatTolerance);
  nn::Parameter zero = vector_of({0, 0}, {0, 0});
  add_group_lasso_gradient(zero, kOneGroup, 0.5);
  EXPECT_EQ(gradient_of(zero), (std::vector<float>{0, 0}));
}

TEST(Penalty, TheProximalStepReachesZeroWhereTheSubgradientOvershoots) {
  nn::Parameter p = vector_of({.006F, .008F}, {0, 0});
  add_group_lasso_gradient(p, kOneGroup, 0.5);
  EXPECT_NEAR(.006 - 0.1 * gradient_of(p)[0], -0.024, kFloatTolerance);
  EXPECT_NEAR(.008 - 0.1 * gradient_of(p)[1], -0.032, kFloatTolerance);
  shrink_groups(p, kOneGroup, 0.05);
  EXPECT_EQ(p.value.value().to_vector<float>(), (std::vector<float>{0, 0}));
  nn::Parameter large = vector_of({3, 4}, {0, 0});
  shrink_groups(large, kOneGroup, 0.05);
  EXPECT_NEAR(large.value.value().at({0, 0}), 2.97, kFloatTolerance);
  EXPECT_NEAR(large.value.value().at({0, 1}), 3.96, kFloatTolerance);
}

TEST(Penalty, GroupNormsHaveNoFactorForSizeAndDoNotSeeRotations) {
  const double angle = 0.7;
  const auto c = static_cast<float>(std::cos(angle));
  const auto s = static_cast<float>(std::sin(angle));
  EXPECT_NEAR(group_norms(vector_of({3, 4}, {0, 0}), kOneGroup)[0], 5.0, kFloatTolerance);
  EXPECT_NEAR(
      group_norms(vector_of({3 * c - 4 * s, 3 * s + 4 * c}, {0, 0}), kOneGroup)[0], 5.0, 1e-5);
}

TEST(GlobalUnits, ThePublishedThresholdTakesOneMoreThanAsked) {
  const std::vector<double> first = {0.9, 0.05, 0.5};
  const std::vector<double> second = {0.02, 0.6, 0.01};
  const std::vector<uint8_t> alive = {1, 1, 1};
  const std::vector<int64_t> weights = {1, 1, 1};
  const std::vector<SiteScores> layers = {{"a", {}, 3, first, alive, weights},
                                          {"b", {}, 3, second, alive, weights}};
  EXPECT_EQ(global_units_allocation()->keep(layers, Sparsity(0.5)), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(global_units_allocation(GlobalCount::Threshold)->keep(layers, Sparsity(0.5)),
            (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(threshold_allocation(0.05)->keep(layers, Sparsity(0.5)), (std::vector<int64_t>{2, 1}));
}

TEST(GlobalUnits, ProtectsTheBestUnitsOfEveryLayer) {
  const std::vector<double> first = {9, 8, 7};
  const std::vector<double> second = {1, 3, 2};
  const std::vector<uint8_t> alive = {1, 1, 1};
  const std::vector<int64_t> weights = {1, 1, 1};
  const std::vector<SiteScores> layers = {{"a", {}, 3, first, alive, weights, 1},
                                          {"b", {}, 3, second, alive, weights, 1}};
  EXPECT_EQ(global_units_allocation()->keep(layers, Sparsity(0.5)), (std::vector<int64_t>{2, 1}));
}

/// Two batch norms with three channels each, scaled as on the card.
std::unique_ptr<nn::Sequential> card_network() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 3, .kernel = 3, .padding = 1}));
  net->add(nn::BatchNorm2d({.channels = 3}));
  net->add(nn::ReLU());
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 3, .kernel = 3, .padding = 1}));
  net->add(nn::BatchNorm2d({.channels = 3}));
  net->add(nn::ReLU());
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 3 * 64, .out = 3}));
  testing::randomize(*net, 4);
  net->parameter("1.weight").value.value().copy_(Tensor::from<float>({3}, {.9F, .05F, -.5F}));
  net->parameter("4.weight").value.value().copy_(Tensor::from<float>({3}, {.02F, .6F, .01F}));
  return net;
}

void train(const std::string& name,
           nn::Module& net,
           std::map<std::string, std::string> given,
           double lr,
           const std::vector<nn::TrainHook*>& others = {},
           double momentum = 0.9) {
  auto hook =
      make_pruner(name, parse_settings(method(name), given), {.input_shape = {3, 8, 8}, .seed = 2});
  std::vector<nn::TrainHook*> hooks = {hook.get()};
  hooks.insert(hooks.end(), others.begin(), others.end());
  nn::Sgd sgd(net, {.lr = std::max(lr, 1e-12), .momentum = momentum}, 0.0);
  auto loader = tiny_loader();
  nn::fit(net, sgd, nn::ConstantLr(lr), *loader, hooks, {.epochs = 2});
}

TEST(NetworkSlimming, RemovesTheSmallestScalesOfAllLayersTogether) {
  auto net = card_network();
  train("network-slimming", *net, {{"sparsity", "0.5"}}, 0.0);
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{1, 0, 1}));
  EXPECT_EQ(mask_of(net->parameter("1.bias")), (std::vector<int>{1, 0, 1}));
  EXPECT_EQ(mask_of(net->parameter("4.weight")), (std::vector<int>{0, 1, 0}));
  auto published = card_network();
  train(
      "network-slimming", *published, {{"sparsity", "0.5"}, {"published-threshold", "true"}}, 0.0);
  EXPECT_EQ(mask_of(published->parameter("1.weight")), (std::vector<int>{1, 0, 0}));
  EXPECT_EQ(mask_of(published->parameter("4.weight")), (std::vector<int>{0, 1, 0}));
}

TEST(NetworkSlimming, KeepsAChannelOfEveryLayer) {
  auto net = card_network();
  net->parameter("4.weight").value.value().fill_(1e-3);
  train("network-slimming", *net, {{"sparsity", "0.5"}}, 0.0);
  EXPECT_EQ(net->parameter("4.weight").nnz(), 1);
  EXPECT_EQ(net->parameter("1.weight").nnz(), 2);
}

/// Notes scales after every step.
class Scales : public nn::TrainHook {
 public:
  void before_training(nn::TrainState& s) override { note(s); }
  void after_backward(nn::TrainState& s) override {
    gradients.push_back(s.model.parameter("1.weight").value.grad().value().to_vector<float>());
  }
  void after_step(nn::TrainState& s) override { note(s); }
  std::vector<std::vector<float>> values;
  std::vector<std::vector<float>> gradients;

 private:
  void note(nn::TrainState& s) {
    values.push_back(s.model.parameter("1.weight").value.value().to_vector<float>());
  }
};

TEST(NetworkSlimming, NewScalesStartAtOneHalfAndThePenaltyEndsWithThePhase) {
  auto with = tiny_conv_net();
  auto without = tiny_conv_net();
  Scales a;
  Scales b;
  train("network-slimming", *with, {{"sparsity", "0.3"}, {"strength", "0.25"}}, 0.0, {&a});
  train("network-slimming", *without, {{"sparsity", "0.3"}, {"strength", "0"}}, 0.0, {&b});
  EXPECT_EQ(a.values.front(), std::vector<float>(8, 0.5F));
  ASSERT_EQ(a.gradients.size(), 8U);
  for (size_t step = 0; step < 8; ++step) {
    for (size_t c = 0; c < 8; ++c) {
      const double extra = step < 4 ? 0.25 : 0.0;
      EXPECT_NEAR(a.gradients[step][c] - b.gradients[step][c], extra, 1e-5) << step;
    }
  }
}

TEST(NetworkSlimming, NeedsBatchNorm) {
  auto net = testing::tiny_mlp();
  espalier::testing::expect_error<ValueError>(
      [&] {
        train("network-slimming", *net, {{"sparsity", "0.5"}}, 0.0);
      },
      {"prune: needs batch norm behind convolutions"});
}

TEST(Ssl, BringsWholeFiltersToZeroAndRemovesExactlyThose) {
  for (const char* step : {"proximal", "subgradient"}) {
    auto net = tiny_conv_net();
    // Filter 5 is zero and filter 2 one small weight. The proximal step of 0.02 * 0.5 takes it to
    // zero; the subgradient's of 0.02 * 0.0975 leaves 0.00005, which is cut.
    Tensor& weight = net->parameter("0.weight").value.value();
    for (int64_t i = 0; i < weight.numel(); ++i) {
      if (i / 27 == 2 || i / 27 == 5) weight.data<float>()[i] = 0.0F;
      if (i == 2 * 27) weight.data<float>()[i] = 2e-3F;
    }
    // Nothing flows back through them: the loss does not fight the penalty.
    Tensor& scale = net->parameter("1.weight").value.value();
    scale.data<float>()[2] = scale.data<float>()[5] = 0.0F;
    train("ssl",
          *net,
          {{"select", "zeros"},
           {"step", step},
           {"filter-strength", step == std::string("proximal") ? "0.5" : "0.0975"},
           {"channel-strength", "0"}},
          0.02,
          {},
          0.0);
    const auto mask = mask_of(net->parameter("1.weight"));
    EXPECT_EQ(mask, (std::vector<int>{1, 1, 0, 1, 1, 0, 1, 1})) << step;
  }
}

/// The norms of the groups that a layer's weights fall into by their flat index.
std::vector<double> norms_of(const nn::Parameter& parameter, int64_t (*group)(int64_t)) {
  std::map<int64_t, double> norms;
  const auto values = parameter.value.value().to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i) {
    double& norm = norms[group(static_cast<int64_t>(i))];
    norm = std::hypot(norm, values[i]);
  }
  std::vector<double> out;
  for (const auto& [index, norm] : norms) out.push_back(norm);
  return out;
}

TEST(Ssl, FiltersAndInputChannelsHaveAStrengthOfTheirOwn) {
  struct Side {
    const char* strength;
    const char* other;
    std::map<std::string, int64_t (*)(int64_t)> groups;  // by weight; others have none
  };
  // The images' channels and the classes are no groups: they cannot go.
  const Side filters = {"filter-strength",
                        "channel-strength",
                        {{"0.weight", [](int64_t i) { return i / 27; }},
                         {"3.weight", [](int64_t i) { return i / 72; }}}};
  const Side channels = {"channel-strength",
                         "filter-strength",
                         {{"3.weight", [](int64_t i) { return i / 9 % 8; }},
                          {"7.weight", [](int64_t i) { return i % 1024 / 64; }}}};
  for (const Side& side : {filters, channels}) {
    auto net = tiny_conv_net();
    const auto before = net->clone();
    const auto pruner = make_pruner(
        "ssl",
        parse_settings(method("ssl"),
                       {{side.strength, "0.3"}, {side.other, "0"}, {"step", "proximal"}}),
        {.input_shape = {3, 8, 8}});
    nn::Sgd sgd(*net, {.lr = 0.1});
    nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
    pruner->before_training(state);
    pruner->after_step(state);
    for (const char* name : {"0.weight", "3.weight", "7.weight"}) {
      SCOPED_TRACE(cat(side.strength, " of ", name));
      const auto group = side.groups.find(name);
      if (group == side.groups.end()) {
        EXPECT_EQ(net->parameter(name).value.value().to_vector<float>(),
                  before->parameter(name).value.value().to_vector<float>());
        continue;
      }
      const auto norms = norms_of(net->parameter(name), group->second);
      const auto then = norms_of(before->parameter(name), group->second);
      for (size_t g = 0; g < norms.size(); ++g) EXPECT_NEAR(norms[g], then[g] - 0.03, 1e-5) << g;
    }
  }
}

// Whoever writes a training of their own needn't tell the shape that the loader knows.
TEST(InputShape, IsThatOfTheTrainingsImagesWhereItIsNotGiven) {
  for (const char* name : {"l0", "network-slimming", "ssl", "sfp", "fpgm", "gmp"}) {
    SCOPED_TRACE(name);
    auto net = tiny_conv_net();
    const auto settings =
        parse_settings(method(name), {{"pattern", "channel"}, {"sparsity", "0.3"}});
    const auto pruner = make_pruner(name, settings, {});
    nn::Sgd sgd(*net, {.lr = 0.01}, 0.0);
    const auto loader = tiny_loader();
    nn::fit(*net, sgd, nn::ConstantLr(0.01), *loader, {pruner.get()}, {.epochs = 2});
    EXPECT_GT(pruned_weights(*net), 0);
  }
}

}  // namespace
}  // namespace espalier::prune
