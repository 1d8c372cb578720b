// SPDX-License-Identifier: Apache-2.0
/// Early-Bird tickets: the card's rule of distances, an independent search for the epoch
/// (oracles/early_bird.py), and the traps.
#include <algorithm>

#include <gtest/gtest.h>

#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/small_training.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::Options;
using testing::tiny_conv_net;
using testing::tiny_loader;

/// A layer of ten weights that a test writes, and an action that halves it when settled.
class Watched {
 public:
  explicit Watched(std::shared_ptr<Action> by = {}) : action(std::move(by)) {
    net = linear_chain({{{1, 10}, std::vector<float>(10, 1.0F)}});
    if (!action) {
      action =
          draw_when_settled({.score = magnitude_score(), .allocation = uniform_allocation()}, {});
    }
  }
  /// The largest five are these. Returns whether the mask was drawn.
  bool look(const std::vector<int>& largest, bool last = false) {
    std::vector<float> w(10, 1.0F);
    for (const int i : largest) w[static_cast<size_t>(i)] = 2.0F;
    nn::Parameter& weight = net->parameter("0.weight");
    weight.value.value().copy_(Tensor::from<float>({1, 10}, w));
    weight.apply_mask();
    const PruneSettings settings{.sparsity = Sparsity(0.5)};
    const PruneInputs inputs;
    const auto pattern = make_pattern("unstructured");
    const Moment moment{.step = number, .sparsity = Sparsity(0.5)};
    report = action->update({*net, optimizer, pattern, settings, inputs},
                            {&moment, 1},
                            {.number = number, .last = last});
    ++number;
    return weight.masked();
  }

  std::unique_ptr<nn::Sequential> net;
  std::shared_ptr<Action> action;
  nn::Optimizer* optimizer = nullptr;
  int64_t number = 0;
  UpdateReport report;
};

const std::vector<int> kFive = {0, 1, 2, 3, 4};

TEST(DrawWhenSettled, FiveEqualMasksFireAtTheFifthLook) {
  Watched watched;
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(watched.look(kFive)) << i;
  EXPECT_TRUE(watched.look(kFive));
  EXPECT_EQ(mask_of(watched.net->parameter("0.weight")),
            (std::vector<int>{1, 1, 1, 1, 1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(watched.report.kept(), 5);
  // Once: what comes later changes nothing.
  EXPECT_TRUE(watched.look({5, 6, 7, 8, 9}));
  EXPECT_EQ(watched.net->parameter("0.weight").nnz(), 5);
  EXPECT_EQ(watched.report.layers.at(0).changed, 0);
}

TEST(DrawWhenSettled, TheNewestIsComparedWithEachOfTheOthers) {
  // One unit that changes places differs in two of ten: 0.2, too far; and a mask that is far away
  // keeps it from being drawn until four more have come after it.
  Watched watched;
  EXPECT_FALSE(watched.look({5, 1, 2, 3, 4}));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(watched.look(kFive)) << i;
  EXPECT_TRUE(watched.look(kFive));
  // A drift of one place per look never settles, though neighbours are near.
  Watched drifting(draw_when_settled(
      {.score = magnitude_score(), .allocation = uniform_allocation()}, {.distance = 0.2}));
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(drifting.look({i, (i + 1) % 10, (i + 2) % 10, (i + 3) % 10, (i + 4) % 10}));
  }
}

TEST(DrawWhenSettled, ADistanceOnTheLimitIsNear) {
  // "> 0.1 rejects": of two in ten, 0.2 at a limit of 0.2 is drawn, at 0.19 not.
  for (const double limit : {0.2, 0.19}) {
    Watched watched(draw_when_settled(
        {.score = magnitude_score(), .allocation = uniform_allocation()}, {.distance = limit}));
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(watched.look(kFive));
    EXPECT_EQ(watched.look({5, 1, 2, 3, 4}), limit == 0.2);
  }
}

TEST(DrawWhenSettled, TheLastLookDrawsWithANote) {
  Watched watched;
  EXPECT_FALSE(watched.look(kFive));
  EXPECT_TRUE(watched.look(kFive, true));
  ASSERT_FALSE(watched.report.notes.empty());
  EXPECT_NE(watched.report.notes.back().find("has not settled"), std::string::npos);
}

TEST(DrawWhenSettled, TellsThatTheLearningRateHadFallen) {
  // Trap: any choice freezes under a small learning rate, so that a draw after a drop is not early.
  for (const bool dropped : {false, true}) {
    Watched first;
    nn::Sgd sgd(*first.net, {.lr = 0.1});
    first.optimizer = &sgd;
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(first.look(kFive));
    Watched second;  // a run that was killed remembers the higher rate
    nn::Sgd later(*second.net, {.lr = 0.1});
    if (dropped) later.set_lr(0.01);
    second.optimizer = &later;
    second.action->load_state(first.action->state());
    EXPECT_TRUE(second.look(kFive));
    const bool told = std::ranges::any_of(second.report.notes, [](const std::string& note) {
      return note.find("learning rate had fallen") != std::string::npos;
    });
    EXPECT_EQ(told, dropped);
  }
}

TEST(DrawWhenSettled, RemembersThroughItsState) {
  Watched first;
  for (int i = 0; i < 4; ++i) first.look(kFive);
  Watched second;
  second.action->load_state(first.action->state());
  EXPECT_TRUE(second.look(kFive));
  Watched third;
  third.action->load_state(second.action->state());
  EXPECT_FALSE(third.look(kFive, true));  // it has been drawn
  EXPECT_THROW(draw_when_settled({.score = magnitude_score(), .allocation = uniform_allocation()},
                                 {.looks = 1}),
               ValueError);
  EXPECT_THROW(draw_when_settled({.score = magnitude_score(),
                                  .allocation = uniform_allocation(),
                                  .growth = random_growth()},
                                 {}),
               NotImplemented);
}

std::unique_ptr<Pruner> early_bird(Options given) {
  given.insert({"sparsity", "0.5"});
  return make_pruner("early-bird",
                     parse_settings(method("early-bird"), given),
                     {.input_shape = {3, 8, 8}, .seed = 5});
}

TEST(EarlyBird, IsDrawnEarlyAndTrainsOnUnderThePenalty) {
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9});
  auto loader = tiny_loader();
  const auto pruner = early_bird({{"looks", "2"}, {"distance", "0.2"}, {"strength", "0.1"}});
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {pruner.get()}, {.epochs = 10});
  const std::vector<UpdateReport>& updates = pruner->updates();
  ASSERT_EQ(updates.size(), 10U);  // before every epoch
  size_t drawn = 0;
  while (updates[drawn].kept() == updates[drawn].total()) ++drawn;
  EXPECT_GE(drawn, 1U);
  EXPECT_LT(drawn, 8U);
  for (size_t u = drawn; u < 10; ++u) EXPECT_EQ(updates[u].kept(), updates[drawn].kept());
  // 12 of 24 channels are left, and can be cut out.
  shrink(*net, Variable(Tensor::zeros({1, 3, 8, 8})));
  EXPECT_EQ(net->parameter("1.weight").numel() + net->parameter("4.weight").numel(), 12);
  EXPECT_TRUE(method("early-bird").facts().needs_norm);
}

TEST(EarlyBird, TheMaskOfEqualScalesAtTheStartIsNotDrawn) {
  // Trap: untrained, all scales are 0.5: the published mask is then all zeros, and here the first
  // channels stay. It is a look like others, so the earliest draw is after epoch 4, not at once.
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 40, .steps_per_epoch = 4};
  const auto pruner = early_bird({});
  pruner->before_training(state);
  EXPECT_EQ(pruner->updates().size(), 1U);
  EXPECT_FALSE(net->parameter("1.weight").masked());
  EXPECT_EQ(net->parameter("1.weight").value.value().to_vector<float>()[0], 0.5F);
}

TEST(EarlyBird, MasksAreComparedInOneOrderOfChannels) {
  // Trap: masks in order of scores, or as numbers of channels of each layer, are equal here at
  // every look; channel by channel each differs from the one before everywhere.
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 40, .steps_per_epoch = 4};
  const auto pruner = early_bird({{"strength", "0"}, {"distance", "0.5"}});
  for (int64_t epoch = 0; epoch < 9; ++epoch) {
    for (const auto& [name, count] :
         {std::pair<const char*, int64_t>{"1.weight", 8}, {"4.weight", 16}}) {
      Tensor& scale = net->parameter(name).value.value();
      for (int64_t c = 0; c < count; ++c) {
        scale.data<float>()[c] = (c < count / 2) == (epoch % 2 == 0) ? 2.0F : 1.0F;
      }
    }
    state.epoch = epoch;
    state.step = 4 * epoch;
    epoch == 0 ? pruner->before_training(state) : pruner->end_of_epoch(state);
    EXPECT_FALSE(net->parameter("1.weight").masked()) << epoch;
  }
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/early_bird.inc>
  };
  return values;
}

TEST(EarlyBirdOracle, TheEpochAndTheMaskAreThoseOfTheScript) {
  // Scales as a training might leave them, epoch by epoch; the script finds the epoch by sets.
  for (const char* fraction : {"0.25", "0.5", "0.75"}) {
    const auto net = tiny_conv_net();
    nn::Sgd sgd(*net, {.lr = 0.0});
    nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 80, .steps_per_epoch = 4};
    const auto pruner =
        early_bird({{"sparsity", fraction}, {"distance", "0.1"}, {"strength", "0"}});
    int64_t drawn = -1;
    for (int64_t epoch = 0; epoch < 19; ++epoch) {
      const std::vector<double>& gamma = oracle().at(cat("scales ", epoch));
      for (const auto& [name, from, count] :
           {std::tuple<const char*, int64_t, int64_t>{"1.weight", 0, 8}, {"4.weight", 8, 16}}) {
        nn::Parameter& scale = net->parameter(name);
        scale.value.value().copy_(
            Tensor::from({count},
                         std::vector<double>(gamma.begin() + from, gamma.begin() + from + count))
                .to(DType::F32));
        scale.apply_mask();
      }
      state.epoch = epoch;
      state.step = 4 * epoch;
      epoch == 0 ? pruner->before_training(state) : pruner->end_of_epoch(state);
      if (drawn < 0 && net->parameter("1.weight").masked()) drawn = epoch;
    }
    EXPECT_EQ(static_cast<double>(drawn), oracle().at(cat("drawn ", fraction))[0]) << fraction;
    std::vector<int> mask = mask_of(net->parameter("1.weight"));
    const std::vector<int> second = mask_of(net->parameter("4.weight"));
    mask.insert(mask.end(), second.begin(), second.end());
    const std::vector<double>& right = oracle().at(cat("mask ", fraction));
    EXPECT_EQ(mask, std::vector<int>(right.begin(), right.end())) << fraction;
  }
}

}  // namespace
}  // namespace espalier::prune
