// SPDX-License-Identifier: Apache-2.0
// Trainings that a hook ends, updates from several batches, and what fit() returns.
#include <espalier/autograd/kept_gradient.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/introspect/summary.h>
#include <espalier/nn/train/checkpoint.h>
#include <espalier/nn/train/parameter_groups.h>

#include "trainings.h"

namespace espalier::nn {
namespace {

// Counts moments, and ends training at one of them.
struct StopAt : TrainHook {
  enum class When : uint8_t { Never, BeforeTraining, BeforeStep, AfterStep, EndOfEpoch };
  explicit StopAt(When when, int64_t step = 0) : when_(when), step_(step) {}
  void before_training(TrainState& s) override { maybe(s, When::BeforeTraining); }
  void before_step(TrainState& s) override { maybe(s, When::BeforeStep); }
  void after_step(TrainState& s) override {
    ++steps;
    maybe(s, When::AfterStep);
  }
  void end_of_epoch(TrainState& s) override {
    ++epochs;
    maybe(s, When::EndOfEpoch);
  }
  std::optional<int64_t> rewind(TrainState&) override {
    ++asked;
    return std::nullopt;
  }
  void end_of_training(TrainState&) override { ++ends; }
  int steps = 0, epochs = 0, asked = 0, ends = 0;

 private:
  void maybe(TrainState& s, When now) {
    if (when_ == now && s.step == step_) s.stop("the test");
  }
  When when_;
  int64_t step_;
};
using When = StopAt::When;

TEST(FitStop, EndsAfterTheHooksOfTheRunningStep) {
  for (const auto& [when, at] : {std::pair{When::BeforeStep, 3}, {When::AfterStep, 4}}) {
    Training training;
    StopAt stopper(when, at);
    StopAt after(When::Never);
    const FitResult end = training.run({&stopper, &after});
    EXPECT_EQ(after.steps, 4);
    EXPECT_EQ(after.epochs, 1);  // the second epoch was not ended
    EXPECT_EQ(after.asked, 0);
    EXPECT_EQ(after.ends, 1);
    EXPECT_EQ(end.step, 4);
    EXPECT_EQ(end.epoch, 1);
    EXPECT_TRUE(end.stopped());
    EXPECT_EQ(end.stopped_by, "the test");
    EXPECT_EQ(end.seen, 16);
    EXPECT_EQ(end.loss, end.loss_sum / 16);
    EXPECT_FALSE(training.model->parameter("fc.weight").value.grad().defined());
  }
}

TEST(FitStop, AnEpochsLastStepEndsTheEpochToo) {
  for (const When when : {When::AfterStep, When::EndOfEpoch}) {
    Training training;
    StopAt stopper(when, kStepsPerEpoch);
    const FitResult end = training.run({&stopper});
    EXPECT_EQ(stopper.steps, 3);
    EXPECT_EQ(stopper.epochs, 1);
    EXPECT_EQ(stopper.ends, 1);
    EXPECT_EQ(end.epoch, 1);
    EXPECT_EQ(end.step, 3);
    EXPECT_GT(end.loss, 0.0);
  }
}

TEST(FitStop, BeforeTrainingNothingIsTrained) {
  Training training;
  const auto before = snapshot(training.model->state_dict());
  StopAt stopper(When::BeforeTraining);
  const FitResult end = training.run({&stopper});
  EXPECT_EQ(end.step, 0);
  EXPECT_EQ(stopper.ends, 1);
  EXPECT_EQ(end.loss, 0.0);
  EXPECT_EQ(snapshot(training.model->state_dict()), before);
}

TEST(FitStop, TheFirstWhoAsksIsTold) {
  struct Second : TrainHook {
    void after_step(TrainState& s) override { s.stop("another"); }
  } second;
  Training training;
  StopAt first(When::AfterStep, 1);
  EXPECT_EQ(training.run({&first, &second}).stopped_by, "the test");
  struct Nobody : TrainHook {
    void after_step(TrainState& s) override { s.stop(""); }
  } nobody;
  EXPECT_THROW(training.run({&nobody}), ValueError);
}

TEST(FitStop, AStoppedRunThatIsResumedEndsAtOnceAndSoDoesOneThatIsTakenOn) {
  for (const auto& [when, at] :
       {std::pair{When::AfterStep, 4}, {When::AfterStep, 3}, {When::EndOfEpoch, 3}}) {
    Training first;
    StopAt stopper(when, at);
    Camera camera;
    const FitResult whole = first.run({&stopper, &camera});

    Training second;
    StopAt counter(When::Never);
    const TrainProgress from =
        restore_checkpoint(camera.shots.back(), {*second.model, second.optimizer});
    EXPECT_EQ(from.stopped_by, "the test");
    const FitResult end = second.run({&counter}, {.epochs = 3, .resume = from});
    EXPECT_EQ(counter.steps, 0);
    EXPECT_EQ(counter.ends, 1);
    EXPECT_EQ(end, whole);
    EXPECT_EQ(end.loss, whole.loss);
    EXPECT_EQ(end.accuracy, whole.accuracy);
    EXPECT_EQ(snapshot(second.model->state_dict()), snapshot(first.model->state_dict()));

    TrainProgress on = from;
    on.stopped_by.clear();
    const FitResult last = second.run({&counter}, {.epochs = 3, .resume = on});
    EXPECT_EQ(last.step, 9);
    EXPECT_FALSE(last.stopped());
  }
}

TEST(FitStop, AKillBetweenTheLastStepAndItsEpochsEndIsNoLoss) {
  // Resumed from what was written in the very step that asked to stop, before the epoch was ended.
  Training first;
  StopAt stopper(When::AfterStep, 3);
  Camera camera;
  first.run({&stopper, &camera});
  Training second;
  StopAt counter(When::Never);
  const TrainProgress from =
      restore_checkpoint(camera.shots.at(2), {*second.model, second.optimizer});
  EXPECT_FALSE(from.epoch_ended);
  second.run({&counter}, {.epochs = 3, .resume = from});
  EXPECT_EQ(counter.epochs, 1);
  EXPECT_EQ(counter.steps, 0);
}

TEST(FitResult, TellsTheLastEpochAndSoDoesARunResumedAtItsEnd) {
  struct Means : TrainHook {
    void end_of_epoch(TrainState& s) override {
      loss = s.loss;
      accuracy = s.accuracy;
    }
    double loss = 0.0, accuracy = 0.0;
  } means;
  Training training;
  Camera camera;
  const FitResult end = training.run({&means, &camera});
  EXPECT_EQ(end.loss, means.loss);
  EXPECT_EQ(end.accuracy, means.accuracy);
  EXPECT_FALSE(end.stopped());
  Training again;
  const TrainProgress from =
      restore_checkpoint(camera.shots.back(), {*again.model, again.optimizer});
  const FitResult same = again.run({}, {.epochs = 3, .resume = from});
  EXPECT_EQ(same.loss, means.loss);
  EXPECT_EQ(same.accuracy, means.accuracy);
}

// No statistics of batches: the gradient of several batches is that of one.
std::unique_ptr<Sequential> plain_net() {
  auto net = std::make_unique<Sequential>();
  net->add("flatten", Flatten());
  net->add("hidden", Linear({.in = 64, .out = 20}));
  net->add("relu", ReLU());
  net->add("fc", Linear({.in = 20, .out = 3}));
  init_parameters(*net, 3);
  return net;
}

// Weights after an epoch in float64, where rounding does not hide a wrong weight.
std::map<std::string, Tensor> after_epochs(int64_t batch, int64_t accumulate, TrainHook* hook) {
  const auto net = plain_net();
  net->parameter("hidden.weight").set_mask(two_thirds_mask({20, 64}));
  Sgd sgd(*net, {.momentum = 0.9}, 0.01);
  data::Loader loader(stripes(kSamples), {.batch_size = batch, .shuffle = true, .seed = 2});
  std::vector<TrainHook*> hooks;
  if (hook != nullptr) hooks.push_back(hook);
  const FitResult end = fit(*net,
                            sgd,
                            StepLr(0.05, 1, 0.5),
                            loader,
                            hooks,
                            {.epochs = 2, .clip_grad_norm = 1.0, .accumulate = accumulate});
  EXPECT_EQ(end.step, 2);
  return net->state_dict();
}

TEST(FitAccumulate, SeveralBatchesAreOneLargeBatch) {
  // 16, 16 and 8 samples in one step; 3 and 1 of 12; 40 of 1.
  const auto whole = after_epochs(40, 1, nullptr);
  for (const auto& [batch, accumulate] : {std::pair{16, 3}, {12, 7}, {1, 40}}) {
    for (const auto& [name, tensor] : after_epochs(batch, accumulate, nullptr)) {
      EXPECT_LT(max_difference(tensor, whole.at(name)), 2e-6) << name << ", batches of " << batch;
    }
  }
}

TEST(FitAccumulate, PenaltiesAreWeighedAsTheirBatches) {
  struct Decay : TrainHook {
    Variable penalty(TrainState& s) override {
      ++asked;
      EXPECT_EQ(s.logits.size(0), s.labels.size(0));
      const Variable& w = s.model.parameter("fc.weight").value;
      return sum(mul(w, w)) * 0.1;
    }
    int asked = 0;
  } once, thrice;
  const auto whole = after_epochs(40, 1, &once);
  const auto parts = after_epochs(16, 3, &thrice);
  EXPECT_EQ(once.asked, 2);
  EXPECT_EQ(thrice.asked, 6);
  for (const auto& [name, tensor] : parts) {
    EXPECT_LT(max_difference(tensor, whole.at(name)), 2e-6) << name;
  }
}

TEST(FitAccumulate, StepsAndMomentsAreThoseOfUpdates) {
  struct Watch : TrainHook {
    void before_step(TrainState& s) override { rates.push_back(s.optimizer.lr()); }
    void after_backward(TrainState&) override { ++backward; }
    void after_step(TrainState& s) override {
      losses.push_back(s.step_loss);
      EXPECT_EQ(s.steps_per_epoch, 2);
      EXPECT_EQ(s.total_steps, 4);
    }
    std::vector<double> rates, losses;
    int backward = 0;
  } watch;
  const auto net = plain_net();
  Sgd sgd(*net, {.lr = 0.0});
  data::Loader loader(stripes(kSamples), {.batch_size = 16});
  // A rate of 0: every loss is that of the first weights, the step's loss the mean of its samples.
  const FitResult end =
      fit(*net, sgd, ConstantLr(0.0), loader, {&watch}, {.epochs = 2, .accumulate = 2});
  EXPECT_EQ(end.step, 4);
  EXPECT_EQ(watch.rates.size(), 4u);
  EXPECT_EQ(watch.backward, 4);
  EXPECT_NEAR((32 * watch.losses[0] + 8 * watch.losses[1]) / 40, end.loss, 1e-9);
  EXPECT_THROW(fit(*net, sgd, ConstantLr(0.0), loader, {}, {.epochs = 1, .accumulate = 0}),
               ValueError);
}

TEST(FitAccumulate, AResumedRunEndsWithTheSameBits) {
  Training whole;
  Camera camera;
  const FitResult end = whole.run({&camera}, {.epochs = 3, .accumulate = 2});
  EXPECT_EQ(end.step, 6);
  for (const SafetensorsFile& shot : camera.shots) {
    Training second;
    const TrainProgress from = restore_checkpoint(shot, {*second.model, second.optimizer});
    second.run({}, {.epochs = 3, .accumulate = 2, .resume = from});
    EXPECT_EQ(snapshot(second.model->state_dict()), snapshot(whole.model->state_dict()))
        << from.step;
  }
}

TEST(Checkpoint, IsAFileThatTheWholeTrainingGoesOnFrom) {
  const testing::TemporaryFolder folder;
  struct Save : TrainHook {
    explicit Save(std::filesystem::path file) : file(std::move(file)) {}
    void after_step(TrainState& s) override {
      if (s.step == 5) save_checkpoint(file, {s.model, s.optimizer, *s.hooks}, s.progress);
    }
    std::filesystem::path file;
  } save(folder.path() / "state.safetensors");
  Training whole;
  whole.run({&save});
  Training second;
  const TrainProgress from = load_checkpoint(save.file, {*second.model, second.optimizer});
  EXPECT_EQ(from.step, 5);
  second.run({}, {.epochs = 3, .resume = from});
  EXPECT_EQ(snapshot(second.model->state_dict()), snapshot(whole.model->state_dict()));
}

TEST(Checkpoint, RefusesWhatIsNone) {
  const testing::TemporaryFolder folder;
  Training training;
  EXPECT_THROW(load_checkpoint(folder.path() / "none", {*training.model, training.optimizer}),
               IoError);
  save_safetensors(folder.path() / "model", {.tensors = training.model->state_dict()});
  EXPECT_NE(message_of<IoError>([&] {
              load_checkpoint(folder.path() / "model", {*training.model, training.optimizer});
            }).find("is not the checkpoint"),
            std::string::npos);
}

TEST(Checkpoint, RefusesToLoseTheStateOfAHook) {
  struct Stateful : TrainHook {
    std::map<std::string, Tensor> state() const override { return {{"x", Tensor::ones({1})}}; }
  } hook;
  Training training;
  const TrainingParts with{*training.model, training.optimizer, {&hook}};
  const TrainingParts without{*training.model, training.optimizer};
  const SafetensorsFile file = take_checkpoint(with, {});
  EXPECT_EQ(restore_checkpoint(file, with), TrainProgress{});
  EXPECT_NE(message_of<ValueError>([&] { restore_checkpoint(file, without); }).find("'hook0/x'"),
            std::string::npos);
}

TEST(ParameterGroups, TakeTheirSettingsFromTheFirstPatternThatFits) {
  const auto net = tiny_net();
  const auto groups = parameter_groups(
      *net, {{"*.bias", {.weight_decay = 0.0}}, {"fc.*", {.lr_scale = 0.1}}}, 0.01);
  const auto names = [](const ParameterGroup& group) {
    std::string text;
    for (const NamedParameter& p : group.parameters) text += p.name + " ";
    return text;
  };
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(names(groups[0]), "bn.bias fc.bias ");
  EXPECT_EQ(names(groups[1]), "fc.weight ");
  EXPECT_EQ(names(groups[2]), "conv.weight bn.weight ");
  EXPECT_EQ(groups[0].weight_decay, 0.0);
  EXPECT_EQ(groups[1].weight_decay, 0.01);
  EXPECT_EQ(groups[1].lr_scale, 0.1);
  EXPECT_EQ(groups[2].lr_scale, 1.0);
  EXPECT_EQ(groups[2].weight_decay, 0.01);
  Sgd sgd(groups, {.lr = 0.1});
  EXPECT_EQ(sgd.groups().size(), 3u);
}

TEST(ParameterGroups, APatternInVainIsAnError) {
  const auto net = tiny_net();
  const std::string text = message_of<ValueError>([&] {
    parameter_groups(*net, {{"fc.weights", {.lr_scale = 2.0}}});
  });
  EXPECT_NE(text.find("'fc.weights' fits no parameter; the nearest are fc.weight"),
            std::string::npos)
      << text;
  EXPECT_NE(message_of<ValueError>([&] {
              parameter_groups(*net, {{"fc.*", {}}, {"fc.bias", {.lr_scale = 2.0}}});
            }).find("belongs to patterns before it"),
            std::string::npos);
}

TEST(Summary, NamesALayerThatRunsPastItsCall) {
  struct Open : Linear {
    using Linear::Linear;
    Variable forward(const Variable& x) override { return Linear::forward(x); }
  };
  struct Around : Module {
    void visit(MemberVisitor& visitor) override { visitor.module("fc", fc); }
    std::string describe() const override { return "Around"; }
    Variable forward(const Variable& x) override { return fc.forward(flatten(x)); }
    std::unique_ptr<Module> shallow_copy() const override {
      return std::make_unique<Around>(*this);
    }
    Open fc{Linear::Options{.in = 64, .out = 3}};
  } net;
  const std::string text = message_of<ValueError>([&] { summary(net, {1, 8, 8}); });
  EXPECT_NE(text.find("reads a parameter of 'fc'"), std::string::npos) << text;
  EXPECT_NE(text.find("Call parts as part(x), not part.forward(x)"), std::string::npos) << text;
}

}  // namespace
}  // namespace espalier::nn
