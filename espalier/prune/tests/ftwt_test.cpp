// SPDX-License-Identifier: Apache-2.0
/// FTWT: the card's numbers, PyTorch's step (oracles/ftwt.py), and the traps.
#include <gtest/gtest.h>

#include <numeric>

#include <espalier/autograd/ops.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/penalties/firing.h>
#include <espalier/prune/tests/gated_script.h>

namespace espalier::prune {
namespace {

using testing::chain_of_script;
using testing::fill_as_script;
using testing::gradients_of_script;
using testing::tiny_residual_net;

std::unique_ptr<Pruner> ftwt(OptionTexts given = {}, const Shape& image = {3, 8, 8}) {
  given.emplace("sparsity", "0.4");
  return make_pruner(
      "ftwt", parse_settings(method("ftwt"), given), {.input_shape = image, .seed = 4});
}

using Bits = std::vector<int>;

Tensor row(const std::vector<float>& values) {
  return Tensor::from<float>({1, static_cast<int64_t>(values.size())}, values);
}

// The card: p = .2, .06, .5, .04, .2; sorted sums .5, .7, .9, .96, 1. Of equal ones the first.
TEST(Ftwt, WhatFiredHoldsTheShareOfTheMass) {
  const Tensor a = row({3, 0.9F, 7.5F, 0.6F, 3});
  EXPECT_EQ(fired_channels(a, 0.95, Boundary::Kept).to_vector<int>(), (Bits{1, 1, 1, 0, 1}));
  EXPECT_EQ(fired_channels(a, 0.95, Boundary::Dropped).to_vector<int>(), (Bits{1, 0, 1, 0, 1}));
  EXPECT_EQ(fired_channels(a, 0.6, Boundary::Kept).to_vector<int>(), (Bits{1, 0, 1, 0, 0}));
  // Trap: a sum that reaches the mass exactly ends there, whatever rounding says.
  EXPECT_EQ(fired_channels(a, 0.9, Boundary::Kept).to_vector<int>(), (Bits{1, 0, 1, 0, 1}));
  for (const Boundary boundary : {Boundary::Kept, Boundary::Dropped}) {
    EXPECT_EQ(fired_channels(a, 1.0, boundary).to_vector<int>(), (Bits{1, 1, 1, 1, 1}));
  }
  EXPECT_EQ(fired_channels(row({0, 2, 0}), 1.0).to_vector<int>(), (Bits{0, 1, 0}));
  EXPECT_EQ(fired_channels(row({0, 0, 0}), 1.0).to_vector<int>(), (Bits{0, 0, 0}));
}

// Every image for itself, though the number is the batch's: one channel holds all of the first
// image, four hold the second.
TEST(Ftwt, OneMassForABatchGivesTheShareThatIsAsked) {
  const Tensor a = Tensor::from<float>({2, 4}, {90, 4, 3, 3, 4, 3, 2, 1});
  // Before each: 0, .9, .94, .97; 0, .4, .7, .9.
  EXPECT_EQ(most_fired(a, 0.5).to_vector<int>(), (Bits{1, 0, 0, 0, 1, 1, 1, 0}));
  EXPECT_EQ(most_fired(a, 0.25).to_vector<int>(), (Bits{1, 0, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(most_fired(a, 1.0).to_vector<int>(), (Bits{1, 1, 1, 1, 1, 1, 1, 1}));
  // It is fired_channels at a mass of .75.
  EXPECT_EQ(most_fired(a, 0.5).to_vector<int>(), fired_channels(a, 0.75).to_vector<int>());
  // What did not fire is never chosen.
  EXPECT_EQ(most_fired(row({0, 5, 0, 0}), 1.0).to_vector<int>(), (Bits{0, 1, 0, 0}));
}

// The card: heads have no gradient of the loss, layers none of the heads' loss, to the bit.
TEST(Ftwt, HeadsAndLayersLearnApart) {
  auto net = tiny_residual_net();
  const auto hook = ftwt();
  hook->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  net->train();
  hook->before_step(state);
  Tensor images = Tensor::empty({4, 3, 8, 8});
  Rng rng(1, "images");
  fill_normal_(images, rng);
  const Variable logits = (*net)(Variable(images));
  const Variable penalty = hook->penalty(state);
  ASSERT_TRUE(penalty.defined());
  const auto is_head = [](const std::string& name) {
    return name.find(".gate.") != std::string::npos;
  };
  penalty.backward();
  for (const nn::NamedParameter& one : net->named_parameters()) {
    EXPECT_EQ(one.parameter->value.grad().defined(), is_head(one.name)) << one.name;
  }
  net->zero_grad();
  cross_entropy(logits, Tensor::from<int64_t>({4}, {0, 1, 2, 0})).backward();
  for (const nn::NamedParameter& one : net->named_parameters()) {
    if (!is_head(one.name)) continue;
    EXPECT_FALSE(one.parameter->value.grad().defined()) << one.name;
  }
}

TEST(Ftwt, HeadsStandStillInTheSecondHalf) {
  auto net = tiny_residual_net();
  const auto hook = ftwt();
  hook->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  net->train();
  for (const auto& [step, learns] : std::map<int64_t, bool>{{0, true}, {49, true}, {50, false}}) {
    nn::TrainState state{.model = *net, .optimizer = sgd, .step = step, .total_steps = 100};
    hook->before_step(state);
    (*net)(Variable(Tensor::ones({2, 3, 8, 8})));
    EXPECT_EQ(hook->penalty(state).defined(), learns) << step;
  }
  for (const nn::PlacedGate& one : nn::placed_gates(*net)) {
    for (const nn::NamedParameter& p : one.part->named_parameters()) {
      EXPECT_FALSE(p.parameter->decays) << p.name;
    }
  }
}

TEST(Ftwt, AtFirstItIsTheDenseNetwork) {
  const auto net = nn::make_model("resnet20");
  Tensor images = Tensor::empty({2, 3, 32, 32});
  Rng rng(1, "images");
  fill_normal_(images, rng);
  const auto answers = [&] {
    const nn::EvalScope eval(*net);
    const NoGrad no_grad;
    return (*net)(Variable(images)).value().to_vector<double>();
  };
  const std::vector<double> before = answers();
  ftwt({}, {3, 32, 32})->attach(*net);
  ASSERT_EQ(nn::placed_gates(*net).size(), 18U);
  const std::vector<double> after = answers();
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-4);
}

void check_firing_step(Oracle& oracle, const std::string& name, OptionTexts given) {
  auto net = chain_of_script();
  given.emplace("head-weight", "0.7");
  const auto hook = ftwt(std::move(given), {3, 4, 4});
  hook->attach(*net);
  net->to(DType::F64);
  fill_as_script(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  net->train();
  hook->before_step(state);
  const Variable logits = (*net)(Variable(made({6, 3, 4, 4}, 31)));
  const Variable loss = cross_entropy(logits, Tensor::from<int64_t>({6}, {0, 1, 2, 2, 1, 0}));
  const Variable penalty = hook->penalty(state);
  oracle.expect(name + ".loss", reshape(loss, {1}).value());
  oracle.expect(name + ".penalty", reshape(penalty, {1}).value());
  (loss + penalty).backward();
  oracle.expect(name + ".gradients", gradients_of_script(*net));
}

TEST(FtwtOracle, ATrainingStepIsPyTorchs) {
  Oracle oracle(ESPALIER_ORACLES, "ftwt");
  check_firing_step(oracle, "share", {});
  check_firing_step(oracle, "kept", {{"mass", "0.8"}});
  check_firing_step(oracle, "dropped", {{"mass", "0.8"}, {"boundary", "dropped"}});
  oracle.expect_all_used();
}

}  // namespace
}  // namespace espalier::prune
