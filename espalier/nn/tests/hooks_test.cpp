// SPDX-License-Identifier: Apache-2.0
// The ready-made hooks of fit(): what each does, and that each goes on after a kill with the same
// bits.
#include <cmath>
#include <sstream>

#include <espalier/core/io.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/hooks.h>

#include "trainings.h"

namespace espalier::nn {
namespace {

// Numbers that the test makes up, one an epoch.
Watched told(std::vector<double> numbers, bool higher_is_better = false) {
  return {"told",
          [numbers = std::move(numbers)](const TrainState& s) {
            return numbers.at(static_cast<size_t>(s.epoch));
          },
          higher_is_better};
}

std::string text_of_file(const std::filesystem::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "test");
  return {bytes.begin(), bytes.end()};
}

// Writes down the model after each epoch, and the rate of each step.
struct Notes : TrainHook {
  void after_step(TrainState& s) override { rates.push_back(s.optimizer.lr()); }
  void end_of_epoch(TrainState& s) override { models.push_back(snapshot(s.model.state_dict())); }
  std::vector<double> rates;
  std::vector<std::map<std::string, std::vector<double>>> models;
};

TEST(EarlyStopping, EndsWhenPatienceDoes) {
  Training training;
  EarlyStopping stopping(told({3.0, 2.0, 2.5, 2.0, 1.9, 2.0, 2.0, 2.0}), {.patience = 3});
  const FitResult end = training.run({&stopping}, {.epochs = 8});
  EXPECT_EQ(end.epoch, 8);  // after 1.9 come three that are no better
  EXPECT_EQ(end.stopped_by, "early stopping: told has not become better than 1.9 for 3 epochs");
  EXPECT_EQ(stopping.best(), 1.9);
}

TEST(EarlyStopping, SmallGainsAreNone) {
  Training training;
  EarlyStopping stopping(told({0.5, 0.55, 0.59, 0.7, 0.7}, true),
                         {.patience = 2, .min_delta = 0.1});
  EXPECT_EQ(training.run({&stopping}, {.epochs = 5}).epoch, 3);
}

TEST(EarlyStopping, WhatIsNoNumberIsNotBetter) {
  Training training;
  EarlyStopping stopping(told({NAN, 2.0, NAN, NAN}), {.patience = 2});
  EXPECT_EQ(training.run({&stopping}, {.epochs = 5}).epoch, 4);
  EXPECT_EQ(stopping.best(), 2.0);
}

TEST(EarlyStopping, BringsTheBestWeightsBack) {
  Training training;
  Notes notes;
  EarlyStopping stopping(told({3.0, 1.0, 2.0, 2.0, 9.0}), {.patience = 2, .restore_best = true});
  training.run({&notes, &stopping}, {.epochs = 5});
  EXPECT_EQ(notes.models.size(), 4u);
  EXPECT_EQ(snapshot(training.model->state_dict()), notes.models[1]);
}

TEST(EarlyStopping, WrongSettingsAreErrors) {
  EXPECT_THROW(EarlyStopping(training_loss(), {.patience = 0}), ValueError);
  EXPECT_THROW(EarlyStopping(training_loss(), {.min_delta = -1.0}), ValueError);
  EXPECT_THROW(EarlyStopping(training_loss()).load_state({}), ValueError);
}

TEST(BestModel, KeepsTheBestEpochInMemoryAndInAFile) {
  const testing::TemporaryFolder folder;
  Training training;
  Notes notes;
  BestModel best(told({0.2, 0.9, 0.9, 0.1}, true), {.file = folder.path() / "best.safetensors"});
  training.run({&notes, &best}, {.epochs = 4});
  EXPECT_EQ(best.epoch(), 1);  // the first of equals
  EXPECT_EQ(best.best(), 0.9);
  EXPECT_EQ(snapshot(load_safetensors(folder.path() / "best.safetensors").tensors),
            notes.models[1]);
  EXPECT_NE(snapshot(training.model->state_dict()), notes.models[1]);
  best.restore(*training.model);
  EXPECT_EQ(snapshot(training.model->state_dict()), notes.models[1]);
}

TEST(BestModel, KeepsSomethingSomewhere) {
  EXPECT_THROW(BestModel(training_loss(), {.in_memory = false}), ValueError);
  Training training;
  EXPECT_THROW(BestModel(training_loss()).restore(*training.model), ValueError);
}

TEST(Validation, IsAnEvaluationAfterEachEpoch) {
  Training training;
  data::Loader samples(stripes(10), {.batch_size = 4});
  Validation validation(samples);
  EXPECT_THROW(validation.newest(), ValueError);
  struct Check : TrainHook {
    Check(const Validation& v, data::Loader& l)
        : v(v), l(l), loss(v.loss()), accuracy(v.accuracy()) {}
    void end_of_epoch(TrainState& s) override {
      const Evaluation own = evaluate(s.model, l);
      EXPECT_EQ(loss.value(s), own.loss);
      EXPECT_EQ(accuracy.value(s), own.accuracy());
      EXPECT_EQ(v.newest().total, 10);
      ++epochs;
    }
    const Validation& v;
    data::Loader& l;
    Watched loss, accuracy;
    int epochs = 0;
  } check(validation, samples);
  EXPECT_FALSE(check.loss.higher_is_better);
  EXPECT_TRUE(check.accuracy.higher_is_better);
  training.run({&validation, &check}, {.epochs = 2});
  EXPECT_EQ(check.epochs, 2);
}

TEST(Validation, MustComeBeforeThoseThatWatchIt) {
  Training training;
  data::Loader samples(stripes(10), {.batch_size = 4});
  Validation validation(samples);
  EarlyStopping stopping(validation.loss());
  EXPECT_NE(message_of<ValueError>([&] {
              training.run({&stopping, &validation});
            }).find("before those that watch it"),
            std::string::npos);
}

TEST(ReduceOnPlateau, LowersTheScheduledRateAsPyTorchDoes) {
  // torch.optim.lr_scheduler.ReduceLROnPlateau(factor 0.5, patience 1, threshold 0.1, cooldown 1):
  // 0.95 is not 10 % better than 1, so epochs 1 and 2 are bad, and the rate falls after the second;
  // epoch 3 cools; 4 and 5 are bad; 6 cools; 0.5 is better.
  Training training;
  Notes notes;
  ReduceOnPlateau plateau(told({1.0, 0.95, 0.95, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5}),
                          {.factor = 0.5, .patience = 1, .threshold = 0.1, .cooldown = 1});
  fit(*training.model,
      training.optimizer,
      ConstantLr(0.08),
      training.loader,
      {&plateau, &notes},
      {.epochs = 9});
  std::vector<double> expected;
  for (const double rate : {0.08, 0.08, 0.08, 0.04, 0.04, 0.04, 0.02, 0.02, 0.02}) {
    expected.insert(expected.end(), 3, rate);
  }
  EXPECT_EQ(notes.rates, expected);
}

TEST(ReduceOnPlateau, FallsNoDeeperThanAskedAndRaisesNothing) {
  Training training;
  Notes notes;
  ReduceOnPlateau plateau(told({1.0, 1.0, 1.0, 1.0}), {.patience = 0, .min_lr = 0.01});
  fit(*training.model,
      training.optimizer,
      MultiStepLr(0.05, {9}, 0.1),
      training.loader,
      {&plateau, &notes},
      {.epochs = 4});
  EXPECT_EQ(notes.rates[3], 0.05);
  EXPECT_EQ(notes.rates[6], 0.01);
  EXPECT_DOUBLE_EQ(notes.rates[9], 0.005);  // the schedule itself is below
  EXPECT_THROW(ReduceOnPlateau(training_loss(), {.factor = 1.0}), ValueError);
  EXPECT_THROW(ReduceOnPlateau(training_loss(), {.patience = -1}), ValueError);
  EXPECT_THROW(ReduceOnPlateau(training_loss(), {.threshold = -1}), ValueError);
}

TEST(CsvLog, HasALineAnEpochAndColumnsForWhatIsWatched) {
  const testing::TemporaryFolder folder;
  const auto file = folder.path() / "log.csv";
  Training training;
  CsvLog log(file, {told({0.1, 1e-20})});
  const FitResult end = fit(*training.model,
                            training.optimizer,
                            ConstantLr(0.05),
                            training.loader,
                            {&log},
                            {.epochs = 2});
  const std::string text = text_of_file(file);
  EXPECT_EQ(text, log.text());
  std::istringstream lines(text);
  std::string head, first, second, none;
  std::getline(lines, head);
  std::getline(lines, first);
  std::getline(lines, second);
  EXPECT_FALSE(std::getline(lines, none));
  EXPECT_EQ(head, "epoch,step,lr,loss,accuracy,told");
  EXPECT_TRUE(first.starts_with("1,3,0.05,") && first.ends_with(",0.1")) << first;
  EXPECT_TRUE(second.starts_with("2,6,0.05,") && second.ends_with(",1e-20")) << second;
  EXPECT_EQ(std::stod(second.substr(9)), end.loss);
  EXPECT_THROW(CsvLog(file, {training_loss()}), ValueError);
  EXPECT_THROW(CsvLog(file).load_state(log.state()), ValueError);
}

TEST(ProgressLines, GoToWhomTheCallerNames) {
  Training training;
  std::ostringstream stream;
  std::vector<std::string> lines;
  ProgressLines to_stream(stream, {}, 2);
  ProgressLines to_function([&](const std::string& line) { lines.push_back(line); },
                            {told({0.5, 0.25})});
  training.run({&to_stream, &to_function}, {.epochs = 2});
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(lines[1].starts_with("epoch 2/2  step 6/6  lr ")) << lines[1];
  EXPECT_TRUE(lines[1].ends_with("  told 0.2500")) << lines[1];
  const std::string text = stream.str();
  // Steps 2 and 4, and the ends of both epochs.
  EXPECT_EQ(std::ranges::count(text, '\n'), 4);
  EXPECT_TRUE(text.starts_with("epoch 1/2  step 2/6  ")) << text;
}

TEST(SaveCheckpoints, WritesWhenAskedUnderTheNameOfTheStep) {
  const testing::TemporaryFolder folder;
  Training training;
  SaveCheckpoints saver(folder.path() / "at{step}-{epoch}.safetensors",
                        {.every_steps = 4, .every_epochs = 2});
  training.run({&saver}, {.epochs = 4});
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  EXPECT_EQ(names,
            (std::vector<std::string>{"at12-3.safetensors",
                                      "at12-4.safetensors",
                                      "at4-1.safetensors",
                                      "at6-2.safetensors",
                                      "at8-2.safetensors"}));
  EXPECT_THROW(SaveCheckpoints(""), ValueError);
  EXPECT_THROW(SaveCheckpoints("x", {.every_steps = -1}), ValueError);
}

// One weight matrix (1,3) whose values the test sets, averaged after each step.
class Averaged : public ::testing::Test {
 protected:
  const Tensor& after(const std::vector<float>& values) {
    layer_.weight.value.value().copy_(Tensor::from<float>({1, 3}, values));
    layer_.weight.apply_mask();
    TrainState state{.model = layer_, .optimizer = sgd_, .step = ++step_};
    average_.after_step(state);
    return average_.averages().at("weight");
  }
  void mask(const std::vector<uint8_t>& keep) {
    layer_.weight.set_mask(Tensor::from<uint8_t>({1, 3}, keep));
  }
  static std::vector<float> list(const Tensor& tensor) { return tensor.to_vector<float>(); }

  Linear layer_{Linear::Options{.in = 3, .out = 1, .bias = false}};
  Sgd sgd_{layer_, {}};
  WeightAverage average_{{.decay = 0.5, .ramp = false}};
  int64_t step_ = 0;
};

TEST_F(Averaged, IsTheHandWorkedSequence) {
  EXPECT_EQ(list(after({8, 4, 0})), (std::vector<float>{8, 4, 0}));
  EXPECT_EQ(list(after({4, 4, 1})), (std::vector<float>{6, 4, 0.5}));
  EXPECT_EQ(list(after({0, 0, 0})), (std::vector<float>{3, 2, 0.25}));
}

TEST_F(Averaged, RisesFromAShortMemoryToALongOne) {
  average_ = WeightAverage({.decay = 0.15});
  after({8, 0, 0});
  // The first share of the old is min(0.15, 2/11), the second too: 0.15 all along; with 0.999 2/11.
  EXPECT_NEAR(after({0, 0, 0}).at({0, 0}), 8 * 0.15, 1e-6);
  average_ = WeightAverage({.decay = 0.999});
  after({8, 0, 0});
  EXPECT_NEAR(after({0, 0, 0}).at({0, 0}), 8 * 2.0 / 11.0, 1e-6);
  EXPECT_NEAR(after({0, 0, 0}).at({0, 0}), 8 * 2.0 / 11.0 * 3.0 / 12.0, 1e-6);
}

TEST_F(Averaged, IsZeroWhereTheMaskIsAndBeginsAnewWhereAnEntryComesBack) {
  after({8, 4, 2});
  mask({1, 0, 1});
  EXPECT_EQ(list(after({4, 4, 2})), (std::vector<float>{6, 0, 2}));
  EXPECT_EQ(list(after({4, 4, 2})), (std::vector<float>{5, 0, 2}));
  mask({1, 1, 0});
  EXPECT_EQ(list(after({5, 3, 2})), (std::vector<float>{5, 3, 0}));
  layer_.weight.set_mask(Tensor());
  EXPECT_EQ(list(after({5, 1, 7})), (std::vector<float>{5, 2, 7}));
}

TEST_F(Averaged, SwapsWithTheModelAndBack) {
  EXPECT_THROW(average_.swap(layer_), ValueError);
  after({8, 4, 2});
  after({4, 4, 2});
  mask({1, 1, 0});  // after the last update: the average is masked as it comes in
  average_.swap(layer_);
  EXPECT_EQ(list(layer_.weight.value.value()), (std::vector<float>{6, 4, 0}));
  average_.swap(layer_);
  EXPECT_EQ(list(layer_.weight.value.value()), (std::vector<float>{4, 4, 0}));
}

TEST_F(Averaged, WrongSettingsAreErrors) {
  EXPECT_THROW(WeightAverage({.decay = 1.5}), ValueError);
  EXPECT_THROW(WeightAverage({.every = 0}), ValueError);
  EXPECT_THROW(average_.load_state({}), ValueError);
}

TEST(WeightAverage, TakesTheModelsPlaceAtTheEndOfTraining) {
  Training training;
  WeightAverage average({.decay = 0.8});
  const auto trained = [&] { return snapshot(average.averages()); };
  struct Before : TrainHook {
    explicit Before(WeightAverage& a) : a(a) {}
    void end_of_training(TrainState&) override { averages = snapshot(a.averages()); }
    WeightAverage& a;
    std::map<std::string, std::vector<double>> averages;
  } before(average);
  training.run({&before, &average});
  EXPECT_EQ(values(training.model->parameter("fc.weight").value.value()),
            before.averages.at("fc.weight"));
  EXPECT_NE(trained(), before.averages);
}

// Changes a mask in the middle of training, as methods that regrow do.
struct MoveMask : TrainHook {
  void before_training(TrainState& s) override { weight(s).set_mask(two_thirds_mask({3, 80})); }
  void after_step(TrainState& s) override {
    if (s.step != 4) return;
    std::vector<uint8_t> keep(240);
    for (size_t i = 0; i < keep.size(); ++i) keep[i] = i % 3 != 1;
    weight(s).set_mask(Tensor::from<uint8_t>({3, 80}, keep));
  }
  static Parameter& weight(TrainState& s) { return s.model.parameter("fc.weight"); }
};

// A training with one hook of each kind, all of whose files lie in a folder.
struct Hooked : Training {
  explicit Hooked(std::filesystem::path at) : folder(std::move(at)) {}
  std::filesystem::path folder;
  MoveMask move_mask;
  data::Loader samples{stripes(20), {.batch_size = 8}};
  Validation validation{samples};
  // Falls, stays, and becomes worse.
  Watched number = told({1.0, 0.9, 0.9, 0.9, 0.9, 0.9});
  ReduceOnPlateau plateau{number, {.factor = 0.5, .patience = 0, .cooldown = 1}};
  WeightAverage average{{.decay = 0.7, .every = 2}};
  EarlyStopping stopping{number, {.patience = 3, .restore_best = true}};
  BestModel best{validation.loss(), {.file = folder / "best.safetensors"}};
  CsvLog log{folder / "log.csv", {validation.loss(), validation.accuracy()}};
  std::ostringstream told_lines;
  ProgressLines lines{told_lines, {validation.loss()}, 1};
  SaveCheckpoints saver{folder / "state-{step}-{epoch}", {.every_steps = 1}};
  std::vector<TrainHook*> hooks = {
      &move_mask, &validation, &plateau, &average, &stopping, &best, &log, &lines, &saver};
};

TEST(Hooks, AKilledTrainingGoesOnToTheSameBits) {
  const testing::TemporaryFolder folder;
  const auto whole_folder = folder.path() / "whole";
  std::filesystem::create_directory(whole_folder);
  Hooked whole(whole_folder);
  const FitResult end = whole.run(whole.hooks, {.epochs = 6});
  EXPECT_TRUE(end.stopped());
  ASSERT_EQ(end.step, 15);
  EXPECT_LT(whole.plateau.scale(), 1.0);
  const auto final_state = [](Hooked& training) {
    auto tensors = training.model->state_dict();
    tensors.merge(training.optimizer.state_dict());
    for (size_t h = 0; h < training.hooks.size(); ++h) {
      for (const auto& [name, tensor] : training.hooks[h]->state()) {
        tensors.emplace(cat("hook", h, "/", name), tensor);
      }
    }
    return snapshot(tensors);
  };
  const auto expected = final_state(whole);
  const std::string whole_lines = whole.told_lines.str();

  // Killed after each step, and at the end of each epoch.
  int resumed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(whole_folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("state-")) continue;
    const auto own_folder = folder.path() / name;
    std::filesystem::create_directory(own_folder);
    Hooked second(own_folder);
    init_parameters(*second.model, 77);
    FitOptions options{.epochs = 6};
    options.resume = load_checkpoint(entry.path(), {*second.model, second.optimizer, second.hooks});
    const FitResult again = second.run(second.hooks, options);
    EXPECT_EQ(again, end) << name;
    EXPECT_EQ(again.loss, end.loss) << name;
    EXPECT_EQ(final_state(second), expected) << name;
    EXPECT_EQ(text_of_file(own_folder / "log.csv"), text_of_file(whole_folder / "log.csv")) << name;
    EXPECT_TRUE(whole_lines.ends_with(second.told_lines.str())) << name;
    ++resumed;
  }
  EXPECT_EQ(resumed, 15 + 5);
}

}  // namespace
}  // namespace espalier::nn
