// SPDX-License-Identifier: Apache-2.0
/// Supermasks by Bernoulli masks: the card's numbers, PyTorch's gradients (oracles/supermask.py),
/// and the traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/bernoulli_mask.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::linear_chain;
using testing::mask_of;
using testing::Options;

constexpr double kOracle = 1e-9;

std::unique_ptr<Pruner> supermask(const Options& options) {
  return make_pruner("supermask", parse_settings(method("supermask"), options), {.seed = 3});
}

nn::BernoulliMask& form_on(nn::Module& net, const std::string& weight) {
  return dynamic_cast<nn::BernoulliMask&>(*nn::form_site(net, weight).form());
}

/// A network of one weight (outputs, inputs) under a mask.
std::unique_ptr<nn::Sequential> masked(const Shape& shape,
                                       const std::vector<float>& values,
                                       const nn::BernoulliMask::Options& options) {
  auto net = linear_chain({{shape, values}});
  nn::put_form(*net, "0.weight", std::make_shared<nn::BernoulliMask>(shape, options));
  return net;
}

TEST(BernoulliMask, TheGradientPassesThroughTheDraw) {
  // w = 2, dL/de = 0.3, t = 0: 0.3 * 2 * 0.25 = 0.15, whatever is drawn.
  const auto net = masked({1, 1}, {2}, {.rescaled = false});
  const Variable x(Tensor::from<float>({1, 1}, {0.3F}));
  int drawn = 0;
  for (int pass = 0; pass < 20; ++pass) {
    net->zero_grad();
    const Variable y = (*net)(x);
    y.backward();
    drawn += y.item() != 0.0 ? 1 : 0;
    expect_near(form_on(*net, "0.weight").logits.value.grad().value(), {0.15}, 1e-7);
  }
  EXPECT_GT(drawn, 0);
  EXPECT_LT(drawn, 20);
}

TEST(BernoulliMask, OfManyDrawsTheMeanIsThatOfWeightsTimesProbabilities) {
  const std::vector<float> w = {1, -2, 0.5F, 3, 0.25F, -1};
  const std::vector<float> t = {0, 1, -1, 2, -3, 0.5F};
  const auto net = masked({2, 3}, w, {.rescaled = false, .seed = 9});
  form_on(*net, "0.weight").logits.value.value().copy_(Tensor::from({2, 3}, t));
  const std::vector<float> input = {1, 0.5F, -1};
  const Variable x(Tensor::from({1, 3}, input));
  constexpr int kPasses = 20'000;
  std::vector<double> mean(2);
  for (int pass = 0; pass < kPasses; ++pass) {
    const std::vector<double> y = (*net)(x).value().to_vector<double>();
    for (size_t o = 0; o < 2; ++o) mean[o] += y[o] / kPasses;
  }
  for (size_t o = 0; o < 2; ++o) {
    double expected = 0.0;
    double variance = 0.0;
    for (size_t i = 0; i < 3; ++i) {
      const double p = 1.0 / (1.0 + std::exp(-t[3 * o + i]));
      const double product = w[3 * o + i] * input[i];
      expected += product * p;
      variance += product * product * p * (1.0 - p);
    }
    EXPECT_NEAR(mean[o], expected, 5.0 * std::sqrt(variance / kPasses)) << o;
  }
}

TEST(BernoulliMask, RescalesByTheShareThatWasDrawn) {
  const auto net = masked({1, 64}, std::vector<float>(64, 1.0F), {.probability = 0.3, .seed = 2});
  const Variable x(Tensor::ones({1, 64}));
  // Of n equal weights m are drawn, each times n / m.
  for (int pass = 0; pass < 10; ++pass) EXPECT_NEAR((*net)(x).item(), 64.0, 1e-4);
}

TEST(BernoulliMask, DrawsInEvaluationTooUnlessToldHowManyStay) {
  // Trap: probabilities at a half are a network of their own, not the one that was trained.
  const auto net = masked({1, 64}, std::vector<float>(64, 1.0F), {.rescaled = false, .seed = 2});
  net->eval();
  const Variable x(Tensor::ones({1, 64}));
  const double drawn = (*net)(x).item();
  EXPECT_GT(drawn, 16.0);
  EXPECT_LT(drawn, 48.0);
  EXPECT_EQ((*net)(x).item(), drawn);  // evaluation moves nothing on
  net->train();
  EXPECT_EQ((*net)(x).item(), drawn);
  EXPECT_NE((*net)(x).item(), drawn);
  net->eval();
  nn::fold_forms(*net);
  EXPECT_EQ(net->parameter("0.weight").nnz(), static_cast<int64_t>((*net)(x).item()));
}

TEST(Supermask, TrainsNothingButProbabilities) {
  auto net = testing::tiny_conv_net();
  auto hook = supermask({{"sparsity", "0.6"}, {"start", "present"}});
  hook->attach(*net);
  std::map<std::string, std::vector<double>> before;
  for (const nn::NamedParameter& one : net->named_parameters()) {
    before[one.name] = one.parameter->value.value().to_vector<double>();
    // Trap: a decay of t pulls every probability to a half.
    if (one.name.ends_with("logits")) {
      EXPECT_FALSE(one.parameter->decays) << one.name;
    }
  }
  class Watch : public nn::TrainHook {
   public:
    explicit Watch(std::map<std::string, std::vector<double>>& before) : before_(before) {}
    void after_step(nn::TrainState& state) override {
      for (const nn::NamedParameter& one : state.model.named_parameters()) {
        const bool same = one.parameter->value.value().to_vector<double>() == before_.at(one.name);
        EXPECT_EQ(same, !one.name.ends_with("logits")) << one.name;
      }
    }

   private:
    std::map<std::string, std::vector<double>>& before_;
  } watch(before);
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9}, 1e-2);
  auto loader = testing::tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.1), *loader, {hook.get(), &watch}, {.epochs = 2});
  EXPECT_FALSE(nn::has_forms(*net));
  for (const nn::NamedParameter& one : prunable_weights(*net)) {
    EXPECT_EQ(one.parameter->nnz(), kept_count(one.parameter->numel(), Sparsity(0.6))) << one.name;
  }
}

TEST(Supermask, LearnsToClassifyWithWeightsThatStandStill) {
  const auto accuracy = [](int64_t epochs) {
    auto net = testing::tiny_mlp();
    auto hook = supermask({{"sparsity", "0.5"}});
    hook->attach(*net);
    nn::Sgd sgd(*net, {.lr = 0.1});
    auto loader = testing::tiny_loader();
    nn::fit(*net, sgd, nn::ConstantLr(0.1), *loader, {hook.get()}, {.epochs = epochs});
    return nn::evaluate(*net, *testing::tiny_loader()).accuracy();
  };
  EXPECT_GT(accuracy(40), 0.8);
}

TEST(Supermask, OfADrawHoweverManyStay) {
  auto net = testing::tiny_mlp();
  auto hook = supermask({{"sparsity", "0.9"}, {"select", "drawn"}, {"probability", "0.25"}});
  hook->attach(*net);
  nn::Sgd sgd(*net, {.lr = 0.1});
  auto loader = testing::tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.1), *loader, {hook.get()}, {.epochs = 1});
  const nn::Parameter& weight = net->parameter("1.weight");
  EXPECT_NEAR(static_cast<double>(weight.nnz()) / static_cast<double>(weight.numel()), 0.25, 0.1);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/supermask.inc>
  };
  return values;
}

TEST(SupermaskOracle, GradientsAreThoseOfPyTorch) {
  const std::map<std::string, int64_t> kept = {{"0.weight", 22}, {"3.weight", 32}};
  for (const std::string word : {"rescaled", "unscaled"}) {
    nn::Sequential net;
    net.add(nn::Conv2d(
        {.in_channels = 2, .out_channels = 3, .kernel = 3, .padding = 1, .bias = false}));
    net.add(nn::ReLU());
    net.add(nn::Flatten());
    net.add(nn::Linear({.in = 27, .out = 3, .bias = false}));
    for (const nn::NamedParameter& one : prunable_weights(net)) {
      const Shape shape = one.parameter->shape();
      nn::put_form(net,
                   one.name,
                   std::make_shared<nn::BernoulliMask>(
                       shape,
                       nn::BernoulliMask::Options{.rescaled = word == "rescaled",
                                                  .kept = kept.at(one.name)}));
    }
    net.to(DType::F64);
    for (const auto& [name, number] : kept) {
      net.parameter(name).value.value().copy_(
          Tensor::from(net.parameter(name).shape(), oracle().at(name)));
      form_on(net, name).logits.value.value().copy_(
          Tensor::from(net.parameter(name).shape(), oracle().at("logits " + name)));
    }
    net.eval();  // the masks that are given
    const std::vector<double>& labels = oracle().at("labels");
    const Variable loss =
        cross_entropy(net(Variable(Tensor::from({4, 2, 3, 3}, oracle().at("x")))),
                      Tensor::from({4}, std::vector<int64_t>(labels.begin(), labels.end())));
    loss.backward();
    EXPECT_NEAR(loss.item(), oracle().at("loss " + word)[0], kOracle);
    for (const auto& [name, number] : kept) {
      expect_near(form_on(net, name).logits.value.grad().value(),
                  oracle().at(cat(word, " gradient ", name)),
                  kOracle);
    }
    if (word != "rescaled") continue;
    nn::fold_forms(net);
    for (const auto& [name, number] : kept) {
      expect_near(net.parameter(name).value.value(), oracle().at("effective " + name), kOracle);
      const std::vector<double>& mask = oracle().at("mask " + name);
      EXPECT_EQ(mask_of(net.parameter(name)), std::vector<int>(mask.begin(), mask.end()));
    }
  }
}

}  // namespace
}  // namespace espalier::prune
