// SPDX-License-Identifier: Apache-2.0
/// gate(): where gates are put, what is told, and what they add to the loss.
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/actions/gate.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::tiny_residual_net;

constexpr double kTolerance = 1e-6;

Gates<nn::Head> block_heads() {
  return {.grain = GateGrain::Blocks, .add = [](const GatePlace& place) -> std::string {
            nn::add_block_gate(place.block,
                               std::make_shared<nn::Head>(nn::Head::Options{
                                   .inputs = place.block.inputs, .open_bias = 0.0}));
            return {};
          }};
}

Gates<nn::Head> channel_heads() {
  return {.grain = GateGrain::Channels, .add = [](const GatePlace& place) -> std::string {
            const nn::Conv2d::Options& conv = place.convolution.layer->options();
            nn::add_channel_gate(place.convolution,
                                 std::make_shared<nn::Head>(nn::Head::Options{
                                     .inputs = conv.in_channels, .units = conv.out_channels}));
            return {};
          }};
}

/// A network, and an action that was made for it.
struct Gating {
  explicit Gating(const Gates<nn::Head>& gates) : action(gate(gates)) {}

  std::vector<std::string> attach() { return action->attach(subject()); }
  Subject subject() { return {*net, nullptr, pattern, settings, inputs}; }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const nn::PlacedGate& one : nn::placed_gates(*net)) out.push_back(one.name);
    return out;
  }
  nn::TrainState at(int64_t step) {
    return {.model = *net, .optimizer = sgd, .step = step, .total_steps = 100};
  }
  nn::Head& head(size_t gate) {
    return dynamic_cast<nn::Head&>(*nn::placed_gates(*net)[gate].decision);
  }

  std::shared_ptr<Action> action;
  std::unique_ptr<nn::Sequential> net = tiny_residual_net();
  std::shared_ptr<const Pattern> pattern = make_pattern("filter");
  PruneSettings settings = {.sparsity = Sparsity(0.5)};
  PruneInputs inputs = {.input_shape = {3, 8, 8}, .seed = 5};
  nn::Sgd sgd = nn::Sgd(*net, {}, 0.0);
};

using Names = std::vector<std::string>;

TEST(Gate, IsPutOnAllPlacesButTheFirst) {
  Gating blocks(block_heads());
  EXPECT_EQ(blocks.attach(), Names{});
  EXPECT_EQ(blocks.names(), (Names{"4", "5"}));
  EXPECT_EQ(blocks.attach().size(), 1U);  // goes on with these
  EXPECT_EQ(blocks.names(), (Names{"4", "5"}));

  Gating channels(channel_heads());
  EXPECT_EQ(channels.attach(), Names{});
  EXPECT_EQ(channels.names(),
            (Names{"3.main.0", "3.main.3", "4.main.0", "4.main.3", "5.main.0", "5.main.3"}));
}

TEST(Gate, ExcludedPlacesHaveNone) {
  Gating channels(channel_heads());
  channels.settings.exclude = {"3", "4.main.0.weight", "5.main.3"};
  EXPECT_EQ(channels.attach(), Names{});
  EXPECT_EQ(channels.names(), (Names{"4.main.3", "5.main.0"}));
}

TEST(Gate, ReasonsAreTold) {
  Gates<nn::Head> gates = block_heads();
  std::vector<int64_t> numbers;
  gates.add = [&, add = gates.add](const GatePlace& place) {
    numbers.push_back(place.number);
    return place.name == "4" ? std::string("it is the fourth") : add(place);
  };
  Gating some(gates);
  EXPECT_EQ(some.attach(), (Names{"4 has no gate: it is the fourth"}));
  EXPECT_EQ(some.names(), (Names{"5"}));
  EXPECT_EQ(numbers, (std::vector<int64_t>{0, 0}));  // of those that were put on

  gates.add = [](const GatePlace&) { return std::string("no reason"); };
  Gating none(gates);
  try {
    none.attach();
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("no block can have a gate. 4 has no gate: no reason"),
              std::string::npos)
        << error.what();
  }
}

TEST(Gate, ChannelsInGroupsHaveNone) {
  Gating grouped(channel_heads());
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 4, .kernel = 1}));
  net->add(nn::Conv2d({.in_channels = 4, .out_channels = 4, .kernel = 1, .groups = 2}));
  net->add(nn::Conv2d({.in_channels = 4, .out_channels = 4, .kernel = 1}));
  grouped.net = std::move(net);
  EXPECT_EQ(grouped.attach(), (Names{"1 has no gate: its channels are in groups"}));
  EXPECT_EQ(grouped.names(), (Names{"2"}));
}

TEST(Gate, OthersGatesAndAnUnpreparedNetworkAreErrors) {
  Gating gating(block_heads());
  nn::TrainState state = gating.at(0);
  EXPECT_THROW(gating.action->enter(gating.subject(), state), ValueError);
  EXPECT_THROW(gating.action->penalty(gating.subject(), state), ValueError);
  const std::vector<nn::GateSite> sites =
      nn::gate_sites(*gating.net, Variable(Tensor::zeros({1, 3, 8, 8})));
  nn::add_partial_sum_gate(sites.front(), {.parts = 2});
  EXPECT_THROW(gating.attach(), ValueError);
  EXPECT_THROW(gating.action->enter(gating.subject(), state), ValueError);
  Gating shapeless(block_heads());
  shapeless.inputs.input_shape = {};
  EXPECT_THROW(shapeless.attach(), ValueError);
}

TEST(Gate, IsSetBeforeEveryStepAndAfterTheLast) {
  Gates<nn::Head> gates = block_heads();
  gates.set = [](nn::Head& head, const nn::TrainState& state, Sparsity) {
    head.bias.value.value().fill_(static_cast<double>(state.step));
  };
  Gating gating(gates);
  gating.attach();
  const auto bias = [&] { return gating.head(1).bias.value.value().item(); };
  nn::TrainState state = gating.at(3);
  gating.action->enter(gating.subject(), state);
  EXPECT_EQ(bias(), 3.0);
  state.step = 7;
  gating.action->before_step(gating.subject(), state);
  EXPECT_EQ(bias(), 7.0);
  state.step = 100;
  gating.action->leave(gating.subject(), state);
  EXPECT_EQ(bias(), 100.0);
}

TEST(Gate, PricesAddUp) {
  Gates<nn::Head> gates = block_heads();
  gates.price = [](const RunningGate<nn::Head>& one) { return sum(one.decided.price) * 0.5; };
  gates.penalty = [](const auto& all, const nn::TrainState& state) {
    return sum(all.back().decided.price) * static_cast<double>(state.step);
  };
  Gating gating(gates);
  gating.attach();
  for (size_t i = 0; i < 2; ++i) gating.head(i).weight.value.value().fill_(0.0);
  gating.head(1).bias.value.value().fill_(std::log(3.0));  // p = 1/2 and 3/4
  nn::TrainState state = gating.at(2);
  (*gating.net)(Variable(Tensor::ones({4, 3, 8, 8})));
  const Variable penalty = gating.action->penalty(gating.subject(), state);
  // Four images: 0.5 * 4 (1/2 + 3/4), and twice 4 * 3/4 of the last gate.
  EXPECT_NEAR(penalty.item(), 2.5 + 6.0, kTolerance);
  penalty.backward();
  // d p / d b = p (1 - p).
  EXPECT_NEAR(gating.head(0).bias.value.grad().item(), 0.5 * 4 * 0.25, kTolerance);
  EXPECT_NEAR(gating.head(1).bias.value.grad().item(), 2.5 * 4 * 0.1875, kTolerance);
}

TEST(Gate, WithoutAPriceNothingIsAdded) {
  Gating gating(block_heads());
  gating.attach();
  nn::TrainState state = gating.at(0);
  (*gating.net)(Variable(Tensor::ones({2, 3, 8, 8})));
  EXPECT_FALSE(gating.action->penalty(gating.subject(), state).defined());
}

TEST(Gate, AChangeIsDoneAtItsFraction) {
  Gating gating(block_heads());
  EXPECT_EQ(done(gating.at(0), 0.5), 0.0);
  EXPECT_EQ(done(gating.at(25), 0.5), 0.5);
  EXPECT_EQ(done(gating.at(50), 0.5), 1.0);
  EXPECT_EQ(done(gating.at(99), 0.5), 1.0);
  EXPECT_EQ(done(gating.at(0), 0.0), 1.0);
}

TEST(Gate, StreamsDifferByPurposePlaceAndSeed) {
  const GatePlace place = {.number = 2, .seed = 9};
  const auto first = [](Rng rng) { return rng.uniform64(); };
  EXPECT_EQ(first(place.rng("a")), first(Rng(9, "a").fork(2)));
  EXPECT_NE(first(place.rng("a")), first(place.rng("b")));
  EXPECT_NE(first(place.rng("a")), first(GatePlace{.number = 3, .seed = 9}.rng("a")));
  EXPECT_NE(first(place.rng("a")), first(GatePlace{.number = 2, .seed = 8}.rng("a")));
}

}  // namespace
}  // namespace espalier::prune
