// SPDX-License-Identifier: Apache-2.0
/// ConvNet-AIG: the card's numbers, PyTorch's step (oracles/convnet_aig.py), and the traps.
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/penalties/opening_rate.h>
#include <espalier/prune/tests/gated_script.h>
#include <espalier/prune/tests/killed_run.h>

namespace espalier::prune {
namespace {

using testing::blocks_of_script;
using testing::fill_as_script;
using testing::gradients_of_script;
using testing::tiny_residual_net;

std::unique_ptr<Pruner> aig(OptionTexts given = {}, const Shape& image = {3, 8, 8}) {
  given.emplace("sparsity", "0.4");
  return make_pruner("convnet-aig",
                     parse_settings(method("convnet-aig"), given),
                     {.input_shape = image, .seed = 4});
}

std::vector<nn::GumbelHead*> gumbel_heads_of(nn::Module& net) {
  std::vector<nn::GumbelHead*> out;
  for (const nn::PlacedGate& one : nn::placed_gates(net)) {
    out.push_back(dynamic_cast<nn::GumbelHead*>(one.decision));
  }
  return out;
}

/// All images have the same odds.
void set_odds(nn::GumbelHead& head, double odds) {
  head.weight.value.value().fill_(0.0);
  head.bias.value.value().copy_(
      Tensor::from<float>({2}, {0.25F, 0.25F + static_cast<float>(odds)}));
}

Variable normal_images(int64_t count, const Shape& image = {3, 8, 8}) {
  Tensor out = Tensor::empty(image.inserted(0, count));
  Rng rng(1, "images");
  fill_normal_(out, rng);
  return Variable(out);
}

std::vector<double> answers(nn::Module& net, const Variable& images) {
  const nn::EvalScope eval(net);
  const NoGrad no_grad;
  return net(images).value().to_vector<double>();
}

// The card: rates .9, .5, .7 and a target of .6 cost 2 * mean(.09, .01, .01). Trap: the mean of
// squares of single images would be 2 * mean(.18, .26, .22).
TEST(ConvNetAig, RatesOfTheBatchAreComparedWithTheTarget) {
  Tensor open = Tensor::zeros({10, 3});
  for (const auto& [gate, count] : std::vector<std::pair<int64_t, int64_t>>{{0, 9}, {1, 5}, {2, 7}})
    for (int64_t n = 0; n < count; ++n) open.data<float>()[n * 3 + gate] = 1.0F;
  EXPECT_NEAR(2.0 * opening_rate_loss(Variable(open), 0.6).item(), 0.0733333, 1e-6);
}

TEST(ConvNetAig, ThePriceIsOfEveryGatesRate) {
  auto net = tiny_residual_net();
  const auto hook = aig();
  hook->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  net->train();
  hook->before_step(state);
  set_odds(*gumbel_heads_of(*net)[0], 50.0);
  set_odds(*gumbel_heads_of(*net)[1], -50.0);
  (*net)(normal_images(3));
  EXPECT_NEAR(hook->penalty(state).item(), 2.0 * (0.16 + 0.36) / 2.0, 1e-6);
}

TEST(ConvNetAig, WithAllGatesOpenItIsTheDenseNetwork) {
  const auto net = nn::make_model("resnet20");
  const Variable images = normal_images(2, {3, 32, 32});
  const std::vector<double> before = answers(*net, images);
  aig({}, {3, 32, 32})->attach(*net);
  ASSERT_EQ(nn::placed_gates(*net).size(), 8U);
  const std::vector<double> after = answers(*net, images);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-4);
}

// Trap: the published code draws at test time.
TEST(ConvNetAig, EvaluationDrawsNothing) {
  auto net = tiny_residual_net();
  aig()->attach(*net);
  for (nn::GumbelHead* head : gumbel_heads_of(*net)) set_odds(*head, 0.1);
  const Variable images = normal_images(8);
  const auto before = net->rng_state();
  const std::vector<double> first = answers(*net, images);
  EXPECT_EQ(answers(*net, images), first);
  for (const auto& [name, position] : net->rng_state()) {
    EXPECT_EQ(position.to_vector<int64_t>(), before.at(name).to_vector<int64_t>()) << name;
  }
  // As if all were surely open.
  for (nn::GumbelHead* head : gumbel_heads_of(*net)) set_odds(*head, 50.0);
  EXPECT_EQ(answers(*net, images), first);
}

// Gumbel's noise opens with the probability of the softmax, sigmoid(1.9) = 0.870 at first.
TEST(ConvNetAig, TrainingOpensWithTheProbabilityOfTheSoftmax) {
  constexpr int64_t kDraws = 4000;
  nn::GumbelHead head({.inputs = 2});
  const Variable images = normal_images(kDraws, {2, 1, 1});
  const auto rate = [&] { return mean(head.decide(images).open).item(); };
  const auto deviation = [](double p) {
    return std::sqrt(p * (1.0 - p) / static_cast<double>(kDraws));
  };
  head.train();
  EXPECT_NEAR(rate(), 0.8699, 4.0 * deviation(0.8699));
  set_odds(head, -1.0);
  EXPECT_NEAR(rate(), 0.2689, 4.0 * deviation(0.2689));
  head.draws = false;
  EXPECT_EQ(rate(), 0.0);
  head.draws = true;
  head.eval();
  EXPECT_EQ(rate(), 0.0);
}

// Gates of a network draw for themselves, and none starts from another's weights.
TEST(ConvNetAig, HeadsAndDrawsAreTheirOwn) {
  auto net = tiny_residual_net();
  aig()->attach(*net);
  const std::vector<nn::GumbelHead*> heads = gumbel_heads_of(*net);
  EXPECT_NE(heads[0]->hidden.value.value().to_vector<double>(),
            heads[1]->hidden.value.value().to_vector<double>());
  for (nn::GumbelHead* head : heads) set_odds(*head, 0.0);
  net->train();
  (*net)(normal_images(200));
  const std::vector<nn::PlacedGate> gates = nn::placed_gates(*net);
  const auto a = gates[0].gate->take_decided().open.value().to_vector<double>();
  const auto b = gates[1].gate->take_decided().open.value().to_vector<double>();
  int64_t same = 0;
  for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i];
  EXPECT_NEAR(static_cast<double>(same), 100.0, 35.0);
}

// Blocks really are not run; the heads' own work counts.
TEST(ConvNetAig, ExecutedMacsAreThoseOfTheBlocksThatRanAndTheHeads) {
  auto net = nn::make_model("resnet20");
  aig({}, {3, 32, 32})->attach(*net);
  const std::vector<nn::PlacedGate> gates = nn::placed_gates(*net);
  set_odds(*gumbel_heads_of(*net)[2], -50.0);  // layer2.0: two convolutions of 16x16
  ASSERT_EQ(gates[2].name, "layer2.0");
  const nn::ModelCount dense =
      nn::count_model(*nn::make_model("resnet20"), Variable(Tensor::zeros({1, 3, 32, 32})));
  int64_t expected = dense.total.macs_dense;
  for (const nn::LayerCount& layer : dense.layers) {
    if (layer.name.starts_with("layer2.0.conv")) expected -= layer.macs_dense;
  }
  for (const nn::GumbelHead* head : gumbel_heads_of(*net)) {
    expected += head->hidden.numel() + head->weight.numel();
  }
  const nn::EvalScope eval(*net);
  const NoGrad no_grad;
  const MacCounter counter;
  (*net)(normal_images(1, {3, 32, 32}));
  EXPECT_EQ(counter.macs(), expected);
}

TEST(ConvNetAigOracle, ATrainingStepIsPyTorchs) {
  Oracle oracle(ESPALIER_ORACLES, "convnet_aig");
  auto net = blocks_of_script();
  const auto hook = aig({}, {3, 4, 4});
  hook->attach(*net);
  net->to(DType::F64);
  fill_as_script(*net);
  for (nn::GumbelHead* head : gumbel_heads_of(*net)) head->draws = false;
  gumbel_heads_of(*net)[1]->bias.value.value().data<double>()[1] += -1.0;  // the script's shift
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  net->train();
  hook->before_training(state);
  hook->before_step(state);
  const Variable images(made({6, 3, 4, 4}, 31));
  auto copy = net->clone();  // the step itself forgets what is open
  for (nn::GumbelHead* head : gumbel_heads_of(*copy)) head->draws = false;
  (*copy)(images);
  std::vector<Variable> open;
  for (const nn::PlacedGate& one : nn::placed_gates(*copy)) {
    open.push_back(to_layout(one.gate->take_decided().open, Layout::Nchw));
  }
  oracle.expect("open", concat(open, 1).value());
  const Variable loss =
      cross_entropy((*net)(images), Tensor::from<int64_t>({6}, {0, 1, 2, 2, 1, 0}));
  const Variable penalty = hook->penalty(state);
  oracle.expect("loss", reshape(loss, {1}).value());
  oracle.expect("penalty", reshape(penalty, {1}).value());
  (loss + penalty).backward();
  oracle.expect("gradients", gradients_of_script(*net));
  oracle.expect("running mean", gumbel_heads_of(*net)[1]->running_mean);
  net->eval();
  oracle.expect("answers in evaluation", (*net)(images).value());
  oracle.expect_all_used();
}

}  // namespace
}  // namespace espalier::prune
