// SPDX-License-Identifier: Apache-2.0
/// Training in rounds: what comes back, what stays, and that a killed run continues in its round.
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/nn/layers/dropout.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/recovery/recovery.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::TinyDataset;
using Tensors = std::map<std::string, Tensor>;
using Options = std::map<std::string, std::string>;

constexpr int64_t kStepsPerEpoch = 4;  // of tiny_loader

Tensors copied(const Tensors& tensors) {
  Tensors result;
  for (const auto& [name, tensor] : tensors) result[name] = tensor.clone();
  return result;
}

void expect_equal(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    EXPECT_EQ(tensor.to_vector<double>(), b.at(name).to_vector<double>()) << name;
  }
}

/// conv 3>4, batch norm, dropout, linear 36>3: state of every kind, trained in no time.
std::unique_ptr<nn::Sequential> small_net(uint64_t seed = 3) {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 4, .kernel = 3, .stride = 2}));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  net->add(nn::Flatten());
  net->add(nn::Dropout(0.3));
  net->add(nn::Linear({.in = 36, .out = 3}));
  testing::randomize(*net, seed);
  return net;
}

std::unique_ptr<Pruner> pruner_of(const std::string& name,
                                  const Options& given,
                                  const Shape& sample = {3, 8, 8}) {
  PruneInputs inputs{.input_shape = sample, .seed = 4};
  inputs.fresh_model = [](uint64_t seed) { return small_net(1000 + seed); };
  return make_pruner(name, parse_settings(method(name), given), inputs);
}

/// One training of the small network.
struct Session {
  std::unique_ptr<nn::Sequential> net = small_net();
  nn::Sgd sgd{*net, {.lr = 0.05, .momentum = 0.9}, 1e-3};
  std::unique_ptr<data::Loader> loader = tiny_loader();
  nn::TrainProgress end;

  void train(const std::vector<nn::TrainHook*>& hooks,
             int64_t epochs,
             const nn::LrSchedule& schedule = nn::CosineLr(0.05),
             std::optional<nn::TrainProgress> resume = {}) {
    end = nn::fit(
        *net, sgd, schedule, *loader, hooks, {.epochs = epochs, .resume = std::move(resume)});
  }
};

/// Writes down, before every step, what a step depends on; and each step's loss.
class Witness : public nn::TrainHook {
 public:
  struct Moment {
    int64_t step;
    double lr;
    Tensors model;
    Tensors optimizer;
  };
  void before_step(nn::TrainState& state) override {
    moments.push_back({state.step,
                       state.optimizer.lr(),
                       copied(state.model.state_dict()),
                       copied(state.optimizer.state_dict())});
  }
  void after_step(nn::TrainState& state) override { losses.push_back(state.step_loss); }
  std::vector<Moment> moments;
  std::vector<double> losses;
};

TEST(LotteryTickets, EveryRoundRemovesAFifthOfWhatIsLeftRoundedUp) {
  nn::Sequential net;
  net.add(nn::Linear({.in = 1000, .out = 1, .bias = false}));
  testing::randomize(net, 5);
  nn::Sgd sgd(net, {});
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  const auto pruner = pruner_of("lottery-tickets", {{"sparsity", "0.7"}}, {1000});
  pruner->before_training(state);
  pruner->before_step(state);
  state.step = 10;
  std::vector<int64_t> kept;
  while (pruner->rewind(state)) kept.push_back(net.parameter("0.weight").nnz());
  EXPECT_EQ(kept, (std::vector<int64_t>{800, 640, 512, 409, 327, 300}));
  EXPECT_EQ(pruner->repeated_steps(10), 60);
}

TEST(LotteryTickets, ARepeatEndsEveryEpochThatItGoesBackInto) {
  class Epochs : public nn::TrainHook {
   public:
    void end_of_epoch(nn::TrainState&) override { ++ended; }
    int64_t ended = 0;
  };
  // Epochs of four steps. Of 4 steps from step 2: two steps, which end one epoch; of 8 from step 2:
  // six steps, which end two; from the very end none.
  struct Case {
    const char* from;
    int64_t epochs, steps, ended;
  };
  for (const Case& one :
       {Case{"0.5", 1, 2, 1}, {"0.25", 2, 6, 2}, {"0.5", 2, 4, 1}, {"1", 2, 0, 0}}) {
    const auto pruner = pruner_of("lottery-tickets",
                                  {{"rounds", "3"}, {"sparsity", "0.5"}, {"rewind-to", one.from}});
    EXPECT_EQ(pruner->repeated_steps(4 * one.epochs), 3 * one.steps);
    EXPECT_EQ(pruner->repeated_epochs(4 * one.epochs, 4), 3 * one.ended);
    Session run;
    Epochs epochs;
    run.train({pruner.get(), &epochs}, one.epochs);
    EXPECT_EQ(epochs.ended, one.epochs + 3 * one.ended) << one.from;
  }
  EXPECT_EQ(pruner_of("lottery-tickets", {})->repeated_epochs(0, 0), 0);
  EXPECT_EQ(pruner_of("magnitude", {})->repeated_epochs(8, 4), 0);
}

TEST(LotteryTickets, RoundsShrinkTheKeptPartByTheSameFactor) {
  const auto updates = rounds_schedule(2, 0.2)->moments({.steps = 50}, Sparsity(0.75));
  ASSERT_EQ(updates.size(), 2U);
  EXPECT_DOUBLE_EQ(updates[0].sparsity.value(), 0.5);
  EXPECT_DOUBLE_EQ(updates[1].sparsity.value(), 0.75);
  for (const Moment& one : updates) EXPECT_EQ(one.step, 50);
}

TEST(LotteryTickets, AFractionThatHitsTheTargetNeedsNoExtraRound) {
  EXPECT_EQ(rounds_schedule(0, 0.2)->moments({.steps = 1}, Sparsity(0.36)).size(), 2U);
  EXPECT_EQ(rounds_schedule(0, 0.2)->moments({.steps = 1}, Sparsity(0.37)).size(), 3U);
}

TEST(LotteryTickets, SurvivorsReturnToTheirEarlyValuesWithBatchNormAndFreshMomentum) {
  for (const char* part : {"0", "0.375"}) {  // steps 0 and 3 of 8
    Session run;
    const auto pruner =
        pruner_of("lottery-tickets", {{"rounds", "2"}, {"sparsity", "0.75"}, {"rewind-to", part}});
    Witness witness;
    run.train({pruner.get(), &witness}, 2);
    const int64_t k = witness.moments[8].step;
    EXPECT_EQ(k, part == std::string("0") ? 0 : 3);
    EXPECT_EQ(run.end.repeated, 2 * (8 - k));
    const Tensors& early = witness.moments[static_cast<size_t>(k)].model;
    EXPECT_EQ(k == 0, early.at("1.running_mean").to_vector<float>() == std::vector<float>(4));
    for (int64_t round : {1, 2}) {
      const auto index = static_cast<size_t>(8 + (round - 1) * (8 - k));
      const Witness::Moment& start = witness.moments[index];
      EXPECT_EQ(start.step, k);
      EXPECT_EQ(start.lr, witness.moments[static_cast<size_t>(k)].lr);
      for (const auto& [name, tensor] : early) {
        auto expected = tensor.to_vector<double>();
        if (start.model.contains(name + ".mask")) {
          const auto mask = start.model.at(name + ".mask").to_vector<double>();
          EXPECT_EQ(std::accumulate(mask.begin(), mask.end(), 0.0) < 1.0 * tensor.numel(), true);
          for (size_t i = 0; i < mask.size(); ++i) expected[i] *= mask[i];
        }
        EXPECT_EQ(start.model.at(name).to_vector<double>(), expected) << name;
      }
      for (const auto& [name, tensor] : start.optimizer) {
        for (double value : tensor.to_vector<double>()) EXPECT_EQ(value, 0.0) << name;
      }
    }
  }
}

TEST(LotteryTickets, ARoundThatRemovesNothingRepeatsTheTrainingToTheBit) {
  // Trap: a fresh order of data, other dropout, a schedule that goes on, batch norm left as it was.
  Session run;
  const auto pruner = pruner_of("lottery-tickets", {{"rounds", "1"}, {"sparsity", "0"}});
  Witness witness;
  run.train({pruner.get(), &witness}, 3);
  ASSERT_EQ(witness.losses.size(), 24U);
  const std::vector<double> first(witness.losses.begin(), witness.losses.begin() + 12);
  const std::vector<double> again(witness.losses.begin() + 12, witness.losses.end());
  EXPECT_EQ(first, again);
}

TEST(LotteryTickets, TheControlKeepsTheMaskAndDrawsOtherWeightsEveryRound) {
  Session run;
  const auto pruner =
      pruner_of("lottery-tickets", {{"rounds", "2"}, {"sparsity", "0.75"}, {"survivors", "fresh"}});
  Witness witness;
  run.train({pruner.get(), &witness}, 1);
  for (size_t round : {1, 2}) {
    const Tensors start = witness.moments[round * kStepsPerEpoch].model;
    const auto drawn = small_net(1004 + round)->state_dict().at("5.weight").to_vector<double>();
    const auto mask = start.at("5.weight.mask").to_vector<double>();
    const auto value = start.at("5.weight").to_vector<double>();
    for (size_t i = 0; i < mask.size(); ++i) EXPECT_EQ(value[i], mask[i] * drawn[i]);
  }
}

TEST(LotteryTickets, AblationReinitChangesTheLastTrainingOnly) {
  Session run;
  const auto pruner =
      pruner_of("lottery-tickets", {{"rounds", "2"}, {"sparsity", "0.75"}, {"ablation", "reinit"}});
  Witness witness;
  run.train({pruner.get(), &witness}, 1);
  const auto survivors = [&](const Tensors& model, size_t round) {
    const auto mask = witness.moments[round * kStepsPerEpoch].model.at("5.weight.mask");
    auto values = model.at("5.weight").to_vector<double>();
    const auto m = mask.to_vector<double>();
    for (size_t i = 0; i < m.size(); ++i) values[i] *= m[i];
    return values;
  };
  const Tensors first = witness.moments[0].model;
  EXPECT_EQ(survivors(first, 1), survivors(witness.moments[kStepsPerEpoch].model, 1));
  EXPECT_EQ(survivors(small_net(1005)->state_dict(), 2),
            survivors(witness.moments[2 * kStepsPerEpoch].model, 2));
}

TEST(Rewinding, WithAConstantRateLearningRateRewindingIsFineTuning) {
  std::vector<Tensors> ends;
  for (const char* retrain : {"lr-rewinding", "fine-tuning"}) {
    Session run;
    const auto pruner = pruner_of(
        "rewinding",
        {{"rounds", "2"}, {"sparsity", "0.75"}, {"retrain", retrain}, {"retrain-part", "0.5"}});
    run.train({pruner.get()}, 2, nn::ConstantLr(0.03));
    ends.push_back(copied(run.net->state_dict()));
  }
  expect_equal(ends[0], ends[1]);
}

TEST(Rewinding, WithNothingToRetrainAllThreeAreThePrunedFinalNetwork) {
  Session plain;
  plain.train({}, 2);
  const auto pruner = pruner_of("magnitude", {{"sparsity", "0.75"}});
  pruner->prune(*plain.net, nullptr, Sparsity(0.75));
  for (const char* retrain : {"lr-rewinding", "weight-rewinding", "fine-tuning"}) {
    Session run;
    const auto none = pruner_of(
        "rewinding",
        {{"rounds", "2"}, {"sparsity", "0.75"}, {"retrain", retrain}, {"retrain-part", "0"}});
    run.train({none.get()}, 2);
    expect_equal(run.net->state_dict(), plain.net->state_dict());
    EXPECT_EQ(run.end.repeated, 0);
  }
}

TEST(Rewinding, TakesTheLearningRatesOfTheRepeatedEpochs) {
  // The paper's setting: 182 epochs, drops at 91 and 136; of 100 epochs again, the first has index
  // 82, and the rate drops after 9 and after 54 of them. One step an epoch here.
  const nn::MultiStepLr schedule(0.1, {91, 136});
  for (const char* retrain : {"lr-rewinding", "weight-rewinding", "fine-tuning"}) {
    Session run;
    run.loader = std::make_unique<data::Loader>(
        std::make_shared<TinyDataset>(), data::LoaderOptions{.batch_size = 64, .workers = 0});
    const std::string part = std::to_string(100.0 / 182.0);
    const auto pruner = pruner_of(
        "rewinding",
        {{"rounds", "1"}, {"sparsity", "0.5"}, {"retrain", retrain}, {"retrain-part", part}});
    Witness witness;
    run.train({pruner.get(), &witness}, 182, schedule);
    ASSERT_EQ(witness.moments.size(), 282U);
    for (size_t i = 0; i < 100; ++i) {
      const bool tuning = retrain == std::string("fine-tuning");
      EXPECT_EQ(witness.moments[182 + i].step, static_cast<int64_t>(82 + i));
      const double power = i < 9 ? 0.0 : i < 54 ? 1.0 : 2.0;
      EXPECT_DOUBLE_EQ(witness.moments[182 + i].lr, 0.1 * std::pow(0.1, tuning ? 2.0 : power));
    }
  }
}

TEST(Rewinding, RepeatsTheWarmUpThatItRewindsInto) {
  // Ten epochs of one step, a warm-up of four: eight again begin in its middle, at index 2.
  const nn::WarmupLr schedule(std::make_shared<nn::ConstantLr>(0.1), 4);
  Session run;
  run.loader = std::make_unique<data::Loader>(std::make_shared<TinyDataset>(),
                                              data::LoaderOptions{.batch_size = 64, .workers = 0});
  const auto pruner = pruner_of(
      "rewinding",
      {{"rounds", "1"}, {"sparsity", "0.5"}, {"retrain", "lr-rewinding"}, {"retrain-part", "0.8"}});
  Witness witness;
  run.train({pruner.get(), &witness}, 10, schedule);
  ASSERT_EQ(witness.moments.size(), 18U);
  const std::vector<double> again = {0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
  for (size_t i = 0; i < again.size(); ++i) {
    EXPECT_DOUBLE_EQ(witness.moments[10 + i].lr, again[i]) << i;
  }
}

TEST(Rewinding, FineTuningTakesTheRateThatIsAskedFor) {
  Session run;
  const auto pruner = pruner_of("rewinding",
                                {{"rounds", "1"},
                                 {"sparsity", "0.5"},
                                 {"retrain", "fine-tuning"},
                                 {"retrain-part", "0.5"},
                                 {"tune-lr", "0.0125"}});
  Witness witness;
  run.train({pruner.get(), &witness}, 2);
  ASSERT_EQ(witness.moments.size(), 12U);
  EXPECT_EQ(witness.moments[7].lr, nn::CosineLr(0.05).lr(7, 8));
  for (size_t i = 8; i < 12; ++i) EXPECT_EQ(witness.moments[i].lr, 0.0125);
}

TEST(Recovery, StartsAgainOnlyWithASourceOfFreshWeights) {
  const PruneSettings settings = parse_settings(
      method("lottery-tickets"), {{"survivors", "fresh"}, {"rounds", "1"}, {"sparsity", "0.5"}});
  Session run;
  const auto pruner = make_pruner("lottery-tickets", settings, {});
  EXPECT_THROW(run.train({pruner.get()}, 1), ValueError);
}

/// All that a checkpoint holds, taken at one of the moments at which one may be written.
class Camera : public nn::TrainHook {
 public:
  Camera(int64_t moment, Pruner& pruner) : moment_(moment), pruner_(pruner) {}
  void after_step(nn::TrainState& state) override { shoot(state); }
  void end_of_epoch(nn::TrainState& state) override { shoot(state); }

  bool taken = false;
  Tensors model, random, optimizer, hook;
  nn::TrainProgress progress;

 private:
  void shoot(nn::TrainState& state) {
    if (seen_++ != moment_) return;
    taken = true;
    model = copied(state.model.state_dict());
    random = copied(state.model.rng_state());
    optimizer = copied(state.optimizer.state_dict());
    hook = copied(pruner_.state());
    progress = state.progress;
  }

  int64_t moment_;
  int64_t seen_ = 0;
  Pruner& pruner_;
};

void expect_same_end_wherever_killed(const std::string& name, const Options& given) {
  Session whole;
  const auto pruner = pruner_of(name, given);
  whole.train({pruner.get()}, 2);
  int64_t moment = 0;
  for (;; ++moment) {
    Session killed;
    const auto first = pruner_of(name, given);
    Camera camera(moment, *first);
    killed.train({first.get(), &camera}, 2);
    if (!camera.taken) break;
    Session resumed;
    resumed.net = small_net(77);
    nn::Sgd sgd(*resumed.net, {.lr = 0.05, .momentum = 0.9}, 1e-3);
    const auto second = pruner_of(name, given);
    resumed.net->load_state_dict(camera.model);
    resumed.net->load_rng_state(camera.random);
    sgd.load_state_dict(camera.optimizer);
    second->load_state(camera.hook);
    const nn::TrainProgress end = nn::fit(*resumed.net,
                                          sgd,
                                          nn::CosineLr(0.05),
                                          *resumed.loader,
                                          {second.get()},
                                          {.epochs = 2, .resume = camera.progress});
    EXPECT_EQ(end, whole.end) << "killed at moment " << moment;
    expect_equal(resumed.net->state_dict(), whole.net->state_dict());
    if (::testing::Test::HasFailure()) break;
  }
  // Steps and ends of epochs of the first training and of two rounds.
  EXPECT_EQ(moment, 8 + 2 + 2 * (6 + 2));
}

TEST(Recovery, ARunKilledAnywhereInAnyRoundEndsWithTheSameBits) {
  const Options rounds = {{"rounds", "2"}, {"sparsity", "0.75"}};
  const auto with = [&](Options more) {
    more.insert(rounds.begin(), rounds.end());
    return more;
  };
  expect_same_end_wherever_killed("lottery-tickets", with({{"rewind-to", "0.25"}}));
  for (const char* retrain : {"lr-rewinding", "fine-tuning"}) {
    expect_same_end_wherever_killed("rewinding",
                                    with({{"retrain", retrain}, {"retrain-part", "0.75"}}));
  }
}

}  // namespace
}  // namespace espalier::prune
