// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/kept_gradient.h>

#include "optimizers.h"

namespace espalier::nn {
namespace {

// One parameter w = 1 in float64, updated with given gradients.
class OneWeight : public ::testing::Test {
 protected:
  std::vector<ParameterGroup> groups(double weight_decay = 0.0, double lr_scale = 1.0) {
    return {{.parameters = {{"w", &w_}}, .lr_scale = lr_scale, .weight_decay = weight_decay}};
  }
  double after(Optimizer& optimizer, double gradient) {
    w_.value.set_grad(Variable(Tensor::scalar(gradient, DType::F64).reshape({1})));
    optimizer.step();
    return w_.value.item();
  }
  Parameter w_{Tensor::ones({1}, DType::F64)};
};

TEST_F(OneWeight, SgdFollowsTheGradient) {
  Sgd sgd(groups(), {.lr = 0.1});
  EXPECT_DOUBLE_EQ(after(sgd, 0.5), 0.95);
  EXPECT_DOUBLE_EQ(after(sgd, -1.0), 1.05);
}

TEST_F(OneWeight, SgdWithMomentumAndDecayIsTheHandWorkedSequence) {
  Sgd sgd(groups(0.1), {.lr = 0.1, .momentum = 0.9});
  // d = 0.5 + 0.1*1 = 0.6;          b = 0.6;               w = 1 - 0.06
  EXPECT_NEAR(after(sgd, 0.5), 0.94, 1e-15);
  // d = -0.2 + 0.1*0.94 = -0.106;   b = 0.54 - 0.106;      w = 0.94 - 0.0434
  EXPECT_NEAR(after(sgd, -0.2), 0.8966, 1e-15);
}

TEST_F(OneWeight, NesterovLooksAhead) {
  Sgd sgd(groups(0.1), {.lr = 0.1, .momentum = 0.9, .nesterov = true});
  // b = 0.6; w = 1 - 0.1*(0.6 + 0.9*0.6)
  EXPECT_NEAR(after(sgd, 0.5), 0.886, 1e-15);
  // d = -0.2 + 0.0886 = -0.1114; b = 0.54 - 0.1114 = 0.4286; w = 0.886 - 0.1*(-0.1114 + 0.9*0.4286)
  EXPECT_NEAR(after(sgd, -0.2), 0.858566, 1e-15);
}

// Algorithm 1 of arXiv:1412.6980 with bias-corrected moments; decay as asked.
double adam_reference(double w,
                      const std::vector<double>& gradients,
                      const AdamOptions& o,
                      double weight_decay) {
  double m = 0.0;
  double v = 0.0;
  double t = 0.0;
  for (double g : gradients) {
    t += 1.0;
    if (o.decoupled_decay) {
      w -= o.lr * weight_decay * w;
    } else {
      g += weight_decay * w;
    }
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(o.beta1, t));
    const double v_hat = v / (1 - std::pow(o.beta2, t));
    w -= o.lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
  return w;
}

TEST_F(OneWeight, AdamsFirstStepIsTheLearningRate) {
  Adam adam(groups(), {.lr = 0.01});
  EXPECT_NEAR(after(adam, 0.3), 1.0 - 0.01 * 0.3 / (0.3 + 1e-8), 1e-15);
}

TEST_F(OneWeight, AdamIsItsPapersAlgorithm) {
  const std::vector<double> gradients = {0.5, -0.2, 0.1, 3.0, -0.7};
  const AdamOptions options{.lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3};
  Adam adam(groups(0.1), options);
  for (const double g : gradients) after(adam, g);
  EXPECT_NEAR(w_.value.item(), adam_reference(1.0, gradients, options, 0.1), 1e-14);
}

TEST_F(OneWeight, AdamWDecaysTheWeightNotTheGradient) {
  const std::vector<double> gradients = {0.5, -0.2, 0.1, 3.0, -0.7};
  AdamOptions options{.lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3};
  AdamW adam(groups(0.1), options);
  for (const double g : gradients) after(adam, g);
  options.decoupled_decay = true;
  EXPECT_NEAR(w_.value.item(), adam_reference(1.0, gradients, options, 0.1), 1e-14);
}

TEST_F(OneWeight, AGroupScalesTheLearningRate) {
  Sgd sgd(groups(0.0, 0.5), {.lr = 0.1});
  EXPECT_DOUBLE_EQ(after(sgd, 1.0), 0.95);
  sgd.set_lr(1.0);
  EXPECT_DOUBLE_EQ(after(sgd, 1.0), 0.45);
}

TEST_F(OneWeight, WithoutGradientNothingMoves) {
  Sgd sgd(groups(0.1), {.lr = 0.1, .momentum = 0.9});
  sgd.step();
  EXPECT_EQ(w_.value.item(), 1.0);
}

TEST_F(OneWeight, WrongSettingsAreErrors) {
  EXPECT_THROW(Sgd(groups(), {.lr = -1}), ValueError);
  EXPECT_THROW(Sgd(groups(), {.lr = NAN}), ValueError);
  EXPECT_THROW(Sgd(groups(), {.momentum = 1.0}), ValueError);
  EXPECT_THROW(Sgd(groups(), {.nesterov = true}), ValueError);
  EXPECT_THROW(Sgd(groups(-0.1), {}), ValueError);
  EXPECT_THROW(Adam(groups(), {.beta2 = 1.0}), ValueError);
  EXPECT_THROW(Adam(groups(), {.eps = 0.0}), ValueError);
  std::vector<ParameterGroup> twice = groups();
  twice.push_back(twice[0]);
  EXPECT_THROW(Sgd(twice, {}), ValueError);
}

TEST(Optimizer, RestartForgetsOneParameter) {
  Linear layer({.in = 3, .out = 1});
  Adam adam(layer, {.lr = 0.01});
  set_gradients(layer, 1);
  adam.step();
  adam.restart("weight");
  EXPECT_EQ(adam.state_dict().count("weight.step"), 0u);
  EXPECT_EQ(adam.state_dict().count("bias.step"), 1u);
  EXPECT_THROW(adam.restart("nothing"), ValueError);
}

TEST(Optimizer, SavedStateContinuesBitForBit) {
  for (const auto& [name, make] : makers()) {
    Linear a({.in = 7, .out = 5});
    const auto first = make(a);
    for (uint64_t step = 0; step < 3; ++step) {
      // An entry that was out for a step: its state has a history of its own.
      if (step == 1) a.weight.set_mask(two_thirds_mask({5, 7}));
      if (step == 2) a.weight.set_mask(Tensor::full({5, 7}, 1.0, DType::U8));
      set_gradients(a, step);
      first->step();
    }
    const auto copy = a.clone();
    const auto second = make(*copy);
    second->load_state_dict(deep_copy(first->state_dict()));
    for (uint64_t step = 3; step < 6; ++step) {
      set_gradients(a, step);
      set_gradients(*copy, step);
      first->step();
      second->step();
    }
    EXPECT_EQ(snapshot(a.state_dict()), snapshot(copy->state_dict())) << name;
    EXPECT_EQ(snapshot(first->state_dict()), snapshot(second->state_dict())) << name;
  }
}

TEST(Optimizer, AWrongStateIsRefusedWhole) {
  Linear layer({.in = 3, .out = 2});
  Sgd sgd(layer, {.momentum = 0.9});
  set_gradients(layer, 1);
  sgd.step();
  const auto before = snapshot(sgd.state_dict());
  auto state = deep_copy(sgd.state_dict());
  state["weight.momentum_buffer"] = Tensor::ones({3, 3});
  state["bias.momentum_buffer"].fill_(8.0);
  state["head.momentum_buffer"] = Tensor::ones({1});
  const std::string text = message_of<ValueError>([&] { sgd.load_state_dict(state); });
  EXPECT_NE(text.find("weight.momentum_buffer (expected"), std::string::npos) << text;
  EXPECT_NE(text.find("head.momentum_buffer (unknown)"), std::string::npos) << text;
  EXPECT_EQ(snapshot(sgd.state_dict()), before);
}

TEST(Optimizer, AChangedShapeIsNamed) {
  Linear layer({.in = 3, .out = 2});
  Sgd sgd(layer, {.momentum = 0.9});
  set_gradients(layer, 1);
  sgd.step();
  layer.set_sizes({{"in", 2}});
  set_gradients(layer, 1);
  EXPECT_NE(message_of<ShapeError>([&] { sgd.step(); }).find("'weight'"), std::string::npos);
  sgd.set_slots("weight", {{"momentum_buffer", Tensor::zeros({2, 2})}});
  EXPECT_NO_THROW(sgd.step());
  EXPECT_THROW(sgd.set_slots("weight", {{"momentum_buffer", Tensor::zeros({2, 3})}}), ShapeError);
  EXPECT_THROW(sgd.set_slots("weight", {{"exp_avg", Tensor::zeros({2, 2})}}), ValueError);
  EXPECT_THROW(sgd.slots("nothing"), ValueError);
}

TEST(Optimizer, NormsAndBiasesMayGoWithoutDecay) {
  auto net = tiny_net();
  const std::vector<ParameterGroup> groups = parameter_groups(*net, 0.1, false);
  ASSERT_EQ(groups.size(), 2u);
  std::vector<std::string> plain;
  for (const NamedParameter& p : groups[1].parameters) plain.push_back(p.name);
  EXPECT_EQ(plain, (std::vector<std::string>{"bn.weight", "bn.bias", "fc.bias"}));
  EXPECT_EQ(groups[0].weight_decay, 0.1);
  EXPECT_EQ(groups[1].weight_decay, 0.0);
  EXPECT_EQ(parameter_groups(*net, 0.1).size(), 1u);
}

TEST(ClipGradNorm, ScalesAllGradientsTogether) {
  Linear layer({.in = 1, .out = 1});
  const Tensor three = Tensor::full({1, 1}, 3.0);
  layer.weight.value.set_grad(Variable(three));
  layer.bias.value.set_grad(Variable(Tensor::full({1}, 4.0)));
  EXPECT_DOUBLE_EQ(clip_grad_norm(layer.named_parameters(), 1.0), 5.0);
  EXPECT_NEAR(layer.weight.value.grad().value().item(), 0.6, 1e-6);
  EXPECT_NEAR(layer.bias.value.grad().value().item(), 0.8, 1e-6);
  EXPECT_EQ(three.item(), 3.0);  // a tensor that others may hold is left alone
}

TEST(ClipGradNorm, ScalesKeptGradientsAsSuch) {
  Linear layer({.in = 2, .out = 1, .bias = false});
  layer.weight.set_mask(Tensor::from<uint8_t>({1, 2}, {0, 1}));
  layer.weight.value.set_grad(kept_gradient(Tensor::full({1}, 4.0), layer.weight.support));
  EXPECT_DOUBLE_EQ(clip_grad_norm(layer.named_parameters(), 2.0), 4.0);
  const Tensor* kept = kept_values_of(layer.weight.value.grad(), layer.weight.support.get());
  ASSERT_NE(kept, nullptr);
  EXPECT_NEAR(kept->item(), 2.0, 1e-6);
}

TEST(ClipGradNorm, LeavesSmallGradientsAsTheyAre) {
  Linear layer({.in = 1, .out = 1});
  layer.weight.value.set_grad(Variable(Tensor::full({1, 1}, 3.0)));
  EXPECT_DOUBLE_EQ(clip_grad_norm(layer.named_parameters(), 10.0), 3.0);
  EXPECT_EQ(layer.weight.value.grad().value().item(), 3.0);
  EXPECT_THROW(clip_grad_norm(layer.named_parameters(), 0.0), ValueError);
}

}  // namespace
}  // namespace espalier::nn
