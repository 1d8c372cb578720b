// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <set>

#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/metrics.h>

#include "trainings.h"

namespace espalier::nn {
namespace {

// Writes down what happens.
class Diary : public TrainHook {
 public:
  void before_training(TrainState& s) override { add("begin", s); }
  void before_step(TrainState& s) override { add("before", s); }
  void after_backward(TrainState& s) override {
    add("backward", s);
    has_gradient = s.model.parameter("fc.weight").value.grad().defined();
  }
  void after_step(TrainState& s) override { add("after", s); }
  void end_of_epoch(TrainState& s) override {
    add("epoch", s);
    losses.push_back(s.loss);
    accuracies.push_back(s.accuracy);
  }
  void end_of_training(TrainState& s) override { add("end", s); }

  std::vector<std::string> lines;
  std::vector<double> losses;
  std::vector<double> accuracies;
  bool has_gradient = false;

 private:
  void add(const char* moment, const TrainState& s) {
    lines.push_back(cat(moment, " ", s.epoch, " ", s.step));
  }
};

TEST(Fit, CallsHooksAtTheirMoments) {
  Training training;
  Diary diary;
  training.run({&diary}, {.epochs = 2});
  EXPECT_EQ(diary.lines,
            (std::vector<std::string>{
                "begin 0 0",    "before 0 0", "backward 0 0", "after 0 1",    "before 0 1",
                "backward 0 1", "after 0 2",  "before 0 2",   "backward 0 2", "after 0 3",
                "epoch 0 3",    "before 1 3", "backward 1 3", "after 1 4",    "before 1 4",
                "backward 1 4", "after 1 5",  "before 1 5",   "backward 1 5", "after 1 6",
                "epoch 1 6",    "end 1 6"}));
  EXPECT_TRUE(diary.has_gradient);
  EXPECT_FALSE(training.model->parameter("fc.weight").value.grad().defined());
}

// Goes back to a step once.
class GoBack : public TrainHook {
 public:
  explicit GoBack(int64_t step) : step_(step) {}
  std::optional<int64_t> rewind(TrainState& s) override {
    EXPECT_EQ(s.step, s.total_steps);
    return std::exchange(step_, std::nullopt);
  }

 private:
  std::optional<int64_t> step_;
};

TEST(Fit, GoesBackWhenAHookAsks) {
  Training training;
  Diary diary;
  GoBack go_back(4);
  const TrainProgress end = training.run({&go_back, &diary}, {.epochs = 2});
  EXPECT_EQ(end, (TrainProgress{.epoch = 2, .step = 6, .repeated = 2}));
  const std::vector<std::string> again(diary.lines.begin() + 21, diary.lines.end());
  EXPECT_EQ(again,
            (std::vector<std::string>{"before 1 4",
                                      "backward 1 4",
                                      "after 1 5",
                                      "before 1 5",
                                      "backward 1 5",
                                      "after 1 6",
                                      "epoch 1 6",
                                      "end 1 6"}));
}

TEST(Fit, RefusesToGoBackToAStepThatIsNone) {
  for (int64_t step : {-1, 7}) {
    Training training;
    GoBack go_back(step);
    EXPECT_THROW(training.run({&go_back}, {.epochs = 2}), ValueError);
  }
}

TEST(Fit, LearnsToTellStripesApart) {
  Training training;
  Diary diary;
  const TrainProgress end = training.run({&diary}, {.epochs = 10});
  EXPECT_EQ(end, (TrainProgress{.epoch = 10, .step = 30}));
  EXPECT_LT(diary.losses.back(), 0.3 * diary.losses.front());
  data::Loader test(stripes(kSamples), {.batch_size = 16});
  const Evaluation result = evaluate(*training.model, test);
  EXPECT_EQ(result.total, kSamples);
  EXPECT_GE(result.accuracy(), 0.95);
  EXPECT_TRUE(training.model->training());
}

TEST(Fit, EpochMeansCountEverySampleOnce) {
  // A learning rate of 0 and no randomness: the mean over the epoch is the mean over the data set.
  Training training;
  training.schedule = CosineLr(0.0);
  training.model = std::make_unique<Sequential>();
  training.model->add("flatten", Flatten());
  training.model->add("fc", Linear({.in = 64, .out = 3}));
  Sgd sgd(*training.model, {});
  data::Loader loader(stripes(kSamples), {.batch_size = 16, .shuffle = true});
  Diary diary;
  fit(*training.model, sgd, ConstantLr(0.0), loader, {&diary}, {.epochs = 1});
  const Evaluation result = evaluate(*training.model, loader);
  EXPECT_NEAR(diary.losses[0], result.loss, 1e-6);
  EXPECT_DOUBLE_EQ(diary.accuracies[0], result.accuracy());
}

// Keeps what a checkpoint would hold, at one moment.
class OneShot : public TrainHook {
 public:
  OneShot(int64_t step, bool at_end_of_epoch) : step_(step), at_end_of_epoch_(at_end_of_epoch) {}
  void after_step(TrainState& s) override {
    if (!at_end_of_epoch_) shoot(s);
  }
  void end_of_epoch(TrainState& s) override {
    if (at_end_of_epoch_) shoot(s);
  }

  std::map<std::string, Tensor> model, rng, optimizer, progress;

 private:
  void shoot(TrainState& s) {
    if (s.step != step_) return;
    model = deep_copy(s.model.state_dict());
    rng = deep_copy(s.model.rng_state());
    optimizer = deep_copy(s.optimizer.state_dict());
    progress = deep_copy(s.progress.to_tensors());
  }
  int64_t step_;
  bool at_end_of_epoch_;
};

TEST(Fit, AResumedRunEndsWithTheSameBits) {
  Training whole;
  whole.model->parameter("conv.weight").set_mask(two_thirds_mask({5, 1, 3, 3}));
  Diary expected;
  whole.run({&expected});
  const auto final_model = snapshot(whole.model->state_dict());
  const auto final_optimizer = snapshot(whole.optimizer.state_dict());

  for (const auto& [step, at_end_of_epoch] : std::vector<std::pair<int64_t, bool>>{
           {1, false}, {2, false}, {3, false}, {3, true}, {5, false}, {9, false}, {9, true}}) {
    Training first;
    first.model->parameter("conv.weight").set_mask(two_thirds_mask({5, 1, 3, 3}));
    OneShot camera(step, at_end_of_epoch);
    first.run({&camera});

    Training second;
    init_parameters(*second.model, 77);
    second.model->load_state_dict(camera.model);
    second.model->load_rng_state(camera.rng);
    second.optimizer.load_state_dict(camera.optimizer);
    Diary resumed;
    second.run({&resumed}, {.epochs = 3, .resume = TrainProgress::from_tensors(camera.progress)});
    const std::string what = cat("resumed after step ", step, at_end_of_epoch ? ", closed" : "");
    EXPECT_EQ(snapshot(second.model->state_dict()), final_model) << what;
    EXPECT_EQ(snapshot(second.optimizer.state_dict()), final_optimizer) << what;
    const auto epochs = static_cast<int64_t>(resumed.losses.size());
    EXPECT_EQ(epochs, 3 - (at_end_of_epoch ? step / kStepsPerEpoch : (step - 1) / kStepsPerEpoch));
    EXPECT_TRUE(
        std::equal(resumed.losses.rbegin(), resumed.losses.rend(), expected.losses.rbegin()))
        << what;
    EXPECT_TRUE(std::equal(
        resumed.accuracies.rbegin(), resumed.accuracies.rend(), expected.accuracies.rbegin()))
        << what;
    EXPECT_EQ(resumed.lines.back(), "end 2 9") << what;
    EXPECT_TRUE(std::ranges::find(resumed.lines, "begin 0 0") == resumed.lines.end()) << what;
  }
}

TEST(Fit, RefusesToResumeWhereItCantHaveStood) {
  Training training;
  EXPECT_THROW(training.run({}, {.epochs = 3, .resume = TrainProgress{.epoch = 1, .step = 2}}),
               ValueError);
  EXPECT_THROW(training.run({}, {.epochs = 3, .resume = TrainProgress{.epoch = 0, .step = 4}}),
               ValueError);
  EXPECT_THROW(
      training.run({}, {.epochs = 3, .resume = TrainProgress{.step = 2, .epoch_ended = true}}),
      ValueError);
  EXPECT_THROW(TrainProgress::from_tensors({}), ValueError);
}

TEST(Fit, ProgressSurvivesAFile) {
  const TrainProgress progress{
      .epoch = 3, .step = 11, .epoch_ended = true, .loss_sum = 0.1, .correct = 7, .seen = 40};
  EXPECT_EQ(TrainProgress::from_tensors(progress.to_tensors()), progress);
}

TEST(Fit, ANonFiniteLossNamesItsStepAndLeavesTheParameters) {
  class Poison : public TrainHook {
   public:
    void before_step(TrainState& s) override {
      if (s.step != 4) return;
      s.model.parameter("fc.bias").value.value().fill_(INFINITY);
      before = snapshot(s.model.state_dict());
    }
    std::map<std::string, std::vector<double>> before;
  };
  Training training;
  Poison poison;
  const std::string text = message_of<ValueError>([&] { training.run({&poison}); });
  EXPECT_NE(text.find("loss of step 4 (epoch 1)"), std::string::npos) << text;
  EXPECT_EQ(values(training.model->parameter("conv.weight").value.value()),
            poison.before.at("conv.weight"));
}

TEST(Fit, ALossThatIsNoNumberIsAnErrorWithAdvice) {
  Training training;
  const auto nan = [](const Variable& logits, const data::Batch&) {
    return mul(sum(logits), std::nan(""));
  };
  const FitOptions options = {.epochs = 1, .objective = std::make_shared<LogitLoss>(nan)};
  // In words of both, who writes a training and who types one.
  testing::expect_error<ValueError>([&] { training.run({}, options); },
                                    {"step 0", "is nan", "clip_grad_norm", "--clip-norm"});
}

TEST(Fit, HasTheSameBitsOnAnyNumberOfThreads) {
  std::map<std::string, std::vector<double>> expected;
  for (const int threads : {1, 2, 4}) {
    set_num_threads(threads);
    Training training;
    training.model->parameter("fc.weight").set_mask(two_thirds_mask({3, 80}));
    training.run({}, {.epochs = 2, .clip_grad_norm = 0.5});
    if (threads == 1) expected = snapshot(training.model->state_dict());
    EXPECT_EQ(snapshot(training.model->state_dict()), expected) << threads << " threads";
  }
  set_num_threads(0);
}

TEST(Fit, ASteadyStepAsksTheSystemForNoMemory) {
  class Meter : public TrainHook {
   public:
    void after_step(TrainState&) override {
      allocations.push_back(memory_stats().system_allocations);
    }
    std::vector<int64_t> allocations;
  };
  const std::unique_ptr<Sequential> model = tiny_net();
  Adam adam(*model, {}, 0.01);
  data::LoaderOptions options = loader_options();
  data::Loader loader(stripes(16 * 11), options);
  Meter meter;
  fit(*model, adam, ConstantLr(1e-3), loader, {&meter}, {.epochs = 1, .clip_grad_norm = 0.01});
  ASSERT_EQ(meter.allocations.size(), 11u);
  EXPECT_EQ(meter.allocations[2], meter.allocations[10]);
}

TEST(Fit, MaskedWeightsStayZero) {
  Training training;
  training.model->parameter("conv.weight").set_mask(two_thirds_mask({5, 1, 3, 3}));
  training.model->parameter("conv.weight").grad_request = sparse::GradRequest::Dense;
  training.run();
  const std::vector<double> w = values(training.model->parameter("conv.weight").value.value());
  for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(w[i] == 0.0, i % 3 == 0) << i;
}

TEST(Fit, UsesTheGivenObjective) {
  Training training;
  int64_t calls = 0;
  const auto nothing = [&](const Variable& logits, const data::Batch& batch) {
    ++calls;
    return cross_entropy(logits, batch.labels) * 0.0;
  };
  training.run({}, {.epochs = 1, .objective = std::make_shared<LogitLoss>(nothing)});
  EXPECT_EQ(calls, kStepsPerEpoch);
}

/// Two passes of the model and one of a network that nobody trains; no logits.
class TwoViews : public Objective {
 public:
  explicit TwoViews(std::shared_ptr<Module> other) : other_(std::move(other)) {}
  StepLoss loss(Module& model, const data::Batch& batch) override {
    const Variable first = model(Variable(batch.images));
    const Variable second = model(Variable(batch.images) * 0.5);
    const Variable target = [&] {
      const NoGrad no_grad;
      return (*other_)(Variable(batch.images));
    }();
    return {mean(mul(first - second, first - second)) + mean(mul(first - target, first - target))};
  }

 private:
  std::shared_ptr<Module> other_;
};

TEST(Fit, AnObjectiveMayRunTheModelTwiceAndAnotherBesideIt) {
  Training training;
  const std::shared_ptr<Module> other = tiny_net(9);
  other->eval();
  const auto before = snapshot(deep_copy(other->state_dict()));
  struct Watch : TrainHook {
    void after_step(TrainState& state) override { losses.push_back(state.step_loss); }
    void end_of_epoch(TrainState& state) override { EXPECT_EQ(state.accuracy, 0.0); }
    std::vector<double> losses;
  } watch;
  training.run({&watch}, {.epochs = 4, .objective = std::make_shared<TwoViews>(other)});
  EXPECT_LT(watch.losses.back(), watch.losses.front());
  EXPECT_EQ(snapshot(other->state_dict()), before);
}

TEST(Fit, AHookBringsTheObjectiveOfSomeSteps) {
  struct Bring : TrainHook {
    Objective* objective(TrainState& state) override {
      given.insert(state.objective);
      return state.step % 2 == 0 ? &own : nullptr;
    }
    void after_step(TrainState& state) override { losses.push_back(state.step_loss); }
    LogitLoss own{[](const Variable& logits, const data::Batch&) { return sum(logits) * 0.0; }};
    std::set<Objective*> given;
    std::vector<double> losses;
  } bring;
  Training training;
  training.run({&bring}, {.epochs = 1});
  ASSERT_GE(bring.losses.size(), 2u);
  for (size_t s = 0; s < bring.losses.size(); ++s) EXPECT_EQ(bring.losses[s] == 0.0, s % 2 == 0);
  EXPECT_EQ(bring.given.size(), 1u);
  EXPECT_FALSE(bring.given.contains(nullptr));
}

TEST(Evaluate, RestoresEachTrainingFlag) {
  auto model = tiny_net();
  (*model)[1].train(false);
  data::Loader loader(stripes(5), {.batch_size = 4});
  evaluate(*model, loader);
  EXPECT_TRUE(model->training());
  EXPECT_FALSE((*model)[1].training());
  EXPECT_TRUE((*model)[4].training());
}

TEST(CountCorrect, TakesTheFirstOfEqualLogits) {
  const Tensor logits = Tensor::from<float>({3, 2}, {1, 1, 0, 2, 5, 4});
  EXPECT_EQ(count_correct(logits, Tensor::from<int64_t>({3}, {0, 1, 0})), 3);
  EXPECT_EQ(count_correct(logits, Tensor::from<int64_t>({3}, {1, 1, 1})), 1);
  EXPECT_EQ(count_correct(logits.to(Layout::Nchw16n), Tensor::from<int64_t>({3}, {0, 1, 1})), 2);
  EXPECT_THROW(count_correct(logits, Tensor::from<int64_t>({2}, {0, 1})), ShapeError);
  EXPECT_THROW(count_correct(logits, Tensor::ones({3})), TypeError);
}

}  // namespace
}  // namespace espalier::nn
