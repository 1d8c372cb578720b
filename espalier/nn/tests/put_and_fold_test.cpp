// SPDX-License-Identifier: Apache-2.0
// Forms that come and go while a network is trained: tied weights, folding, killed runs,
// optimizers.
#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/explain.h>
#include <espalier/nn/tests/support.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::nn {
namespace {

void set(Parameter& parameter, const std::vector<float>& numbers) {
  parameter.value.value().copy_(Tensor::from<float>(parameter.shape(), numbers));
}

/// Two linear layers of 4 x 4.
std::unique_ptr<Sequential> two_layers() {
  auto net = std::make_unique<Sequential>();
  net->add(Linear({.in = 4, .out = 4, .bias = false}));
  net->add(Linear({.in = 4, .out = 4, .bias = false}));
  for (int i = 0; i < 2; ++i) {
    Rng rng(static_cast<uint64_t>(i), "weights");
    fill_normal_(net->parameter(cat(i, ".weight")).value.value(), rng);
  }
  return net;
}

std::shared_ptr<HardConcrete> gates(double drop_rate = 0.5) {
  return std::make_shared<HardConcrete>(Shape{4, 4}, HardConcrete::Options{.drop_rate = drop_rate});
}

// Six inputs of two planes, the fourth of which another layer's channel makes.
TEST(HardConcrete, InputsMayShareGatesAndHaveNone) {
  HardConcrete form(
      {2, 5}, {.grain = HardConcrete::Grain::Inputs, .gate_of = {1, 1, -1, 0, 1}, .gates = 3});
  EXPECT_EQ(form.log_alpha.shape(), Shape({3}));
  set(form.log_alpha, {0, -3, 2});  // expected gates: 1/2, closed, 0.956956
  Parameter weight(Tensor::full({2, 5}, 2.0));
  form.eval();
  const Effective e = form.effective(weight);
  EXPECT_EQ(values(e.value.value()), (std::vector<double>{0, 0, 2, 1, 0, 0, 0, 2, 1, 0}));
  EXPECT_EQ(e.sparsity.support->nnz(), 4);
  // A gate's price is that of all weights that it multiplies; an input without one has none.
  set(form.log_alpha, {0, 0, 0});
  const double p = hard_concrete::probability_open(0.0);
  const Variable penalty = form.penalty(weight, 3.0, 0.5);
  EXPECT_NEAR(penalty.item(), 8 * p * (3.0 + 0.25 * 4.0), 1e-5);
  penalty.backward();
  const std::vector<double> slope = values(form.log_alpha.value.grad().value());
  EXPECT_NEAR(slope[0], 2 * 4.0 * p * (1 - p), 1e-5);
  EXPECT_NEAR(slope[1], 6 * 4.0 * p * (1 - p), 1e-5);
  EXPECT_EQ(slope[2], 0.0);
  const Tensor entries = form.log_alpha_of_entries({2, 5});
  EXPECT_TRUE(std::isinf(entries.at({1, 2})));
  EXPECT_EQ(entries.at({1, 3}), 0.0);
  const auto made = [](HardConcrete::Grain grain, std::vector<int64_t> gate_of) {
    return HardConcrete({2, 5}, {.grain = grain, .gate_of = std::move(gate_of), .gates = 2});
  };
  EXPECT_THROW(made(HardConcrete::Grain::Inputs, {0, 1}), ValueError);
  EXPECT_THROW(made(HardConcrete::Grain::Inputs, {0, 1, 2, 0, 0}), ValueError);
  EXPECT_THROW(made(HardConcrete::Grain::Weights, {0, 1, 1, 0, 0}), ValueError);
}

TEST(HardConcrete, GatesOfInputsTravelWithNetworks) {
  auto net = two_layers();
  const HardConcrete::Options options{
      .grain = HardConcrete::Grain::Inputs, .gate_of = {0, 0, -1, 1}, .gates = 2};
  put_form(*net, "1.weight", std::make_shared<HardConcrete>(Shape{4, 4}, options));
  auto other = two_layers();
  restore_forms(*other, describe_forms(*net));
  other->load_state_dict(net->state_dict());
  const Variable x(random_tensor({3, 4}, 1));
  net->eval();
  other->eval();
  EXPECT_EQ(values((*other)(x).value()), values((*net)(x).value()));
  auto copy = net->clone();
  EXPECT_EQ(values((*copy)(x).value()), values((*net)(x).value()));
}

TEST(Forms, AWeightOfTwoLayersHasOneFormAndIsFoldedOnce) {
  auto net = two_layers();
  auto& first = dynamic_cast<Linear&>(*net->named_modules()[1].module);
  auto& second = dynamic_cast<Linear&>(*net->named_modules()[2].module);
  second.weight = first.weight;
  put_form(*net, "0.weight", gates(0.7));
  EXPECT_EQ(first.form, second.form);
  net->eval();
  const NoGrad no_grad;
  const Variable x(random_tensor({3, 4}, 1));
  const std::vector<double> expected = values((*net)(x).value());
  fold_forms(*net);
  EXPECT_EQ(values((*net)(x).value()), expected);
  EXPECT_EQ(first.weight.support, second.weight.support);
}

TEST(Forms, AFoldMayLeaveTheMaskToOthers) {
  auto net = two_layers();
  auto form = std::make_shared<Supermask>(Shape{4, 4}, 5);
  const FormSite site = form_site(*net, "0.weight");
  site.set(form);
  fold_forms({site}, FoldedMask::OfWeight);
  const Parameter& weight = net->parameter("0.weight");
  EXPECT_FALSE(weight.masked());
  const std::vector<double> numbers = values(weight.value.value());
  EXPECT_EQ(std::ranges::count(numbers, 0.0), 11);
}

TEST(Forms, WhatASavedStateDoesNotKnowComesOff) {
  auto net = two_layers();
  put_form(*net, "0.weight", gates());
  const auto first_only = net->state_dict();
  auto other = two_layers();
  put_form(*other, "0.weight", gates());
  put_form(*other, "1.weight", gates());
  take_off_folded(*other, first_only);
  EXPECT_NE(form_site(*other, "0.weight").form(), nullptr);
  EXPECT_EQ(form_site(*other, "1.weight").form(), nullptr);
  other->load_state_dict(first_only);
  // Gates that forms share are named in the first of them.
  auto shared = two_layers();
  for (const char* name : {"0.weight", "1.weight"}) {
    const auto form = std::make_shared<HardConcrete>(
        Shape{4, 4}, HardConcrete::Options{.grain = HardConcrete::Grain::Inputs});
    if (Form* owner = form_site(*shared, "0.weight").form()) form->share(*owner);
    put_form(*shared, name, form);
  }
  take_off_folded(*shared, shared->state_dict());
  EXPECT_NE(form_site(*shared, "1.weight").form(), nullptr);
  take_off_folded(*shared, two_layers()->state_dict());
  EXPECT_FALSE(has_forms(*shared));
}

TEST(Forms, OptimizersTakeParametersInAndForgetThem) {
  auto net = two_layers();
  Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9}, /*weight_decay=*/0.0);
  put_form(*net, "0.weight", gates());
  const NamedParameter gate{"0.form.log_alpha", &net->parameter("0.form.log_alpha")};
  sgd.add({gate});
  EXPECT_THROW(sgd.add({gate}), ValueError);
  EXPECT_EQ(sgd.groups().front().parameters.size(), 3U);
  const std::vector<double> before = values(gate.parameter->value.value());
  const Variable y = (*net)(Variable(random_tensor({3, 4}, 1)));
  sum(y * y).backward();
  sgd.step();
  EXPECT_NE(values(gate.parameter->value.value()), before);
  EXPECT_TRUE(sgd.state_dict().contains("0.form.log_alpha.momentum_buffer"));
  fold_forms(*net);
  sgd.forget_missing(*net);
  EXPECT_EQ(sgd.groups().front().parameters.size(), 2U);
  EXPECT_FALSE(sgd.state_dict().contains("0.form.log_alpha.momentum_buffer"));
  EXPECT_TRUE(sgd.state_dict().contains("1.weight.momentum_buffer"));
  sgd.step();
}

TEST(Forms, CountsAndExplanationsSeeWhatIsMultipliedWith) {
  Sequential net;
  net.add(Conv2d({.in_channels = 16, .out_channels = 16, .kernel = 3, .padding = 1}));
  put_form(net, "0.weight", std::make_shared<Supermask>(Shape{16, 16, 3, 3}, 576));
  const ModelCount count = count_model(net, Shape{16, 8, 8});
  EXPECT_EQ(count.total.weights_nonzero, 576);
  EXPECT_EQ(count.total.macs_effective, 576 * 64);
  EXPECT_DOUBLE_EQ(count.sparsity(), 0.75);
  const auto layers = explain(net, Variable(Tensor::zeros({1, 16, 8, 8})));
  ASSERT_EQ(layers.size(), 1U);
  EXPECT_DOUBLE_EQ(layers.front().density, 0.25);
  EXPECT_NE(layers.front().forward.choice.reason, "no mask");
}

}  // namespace
}  // namespace espalier::nn
