// SPDX-License-Identifier: Apache-2.0
/// A method that is not in the library and brings the objective of its training: fine-tuning by the
/// answers that the network gave before it was pruned, without labels.
#include <gtest/gtest.h>

#include <espalier/nn/train/distillation.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/killed_run.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::SaveAt;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::TinyDataset;

constexpr int64_t kEpochs = 3;

struct OwnAnswers {
  double temperature = 2.0;
  double weight = 1.0;
};

nn::DistillationOptions distillation_of(const OwnAnswers& o) {
  return {.temperature = o.temperature, .weight = o.weight};
}

/// From its first step on the network learns what it answered before.
class LearnOwnAnswers : public Action {
 public:
  explicit LearnOwnAnswers(const OwnAnswers& options) : options_(options) {}
  std::vector<std::string> attach(const Subject& subject) override {
    teacher_ = subject.model.clone();
    objective_ = std::make_unique<nn::Distillation>(teacher_, distillation_of(options_));
    return {};
  }
  void enter(const Subject& subject, nn::TrainState&) override {
    if (!teacher_) attach(subject);
    teacher_->load_state_dict(subject.model.state_dict());
  }
  nn::Objective* objective(const Subject&, nn::TrainState&) override { return objective_.get(); }
  std::map<std::string, Tensor> state() const override {
    return teacher_ ? teacher_->state_dict() : std::map<std::string, Tensor>();
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    teacher_->load_state_dict(state);
  }

 private:
  OwnAnswers options_;
  std::shared_ptr<nn::Module> teacher_;
  std::unique_ptr<nn::Distillation> objective_;
};

Method own_answers() {
  return make_method<OwnAnswers>(
      {.name = "own-answers",
       .title = "Pruning by magnitude, fine-tuned by the network's own answers",
       .paper = "a test's own",
       .year = 2026,
       .idea = "What the dense network answered is all that the pruned one has to learn.",
       .formula = "s = |w|; loss T^2 KL(dense || pruned)",
       .schedule = "start from trained weights",
       .use_when = "A test wants an objective.",
       .not_when = "Anything else.",
       .patterns = {"unstructured"}},
      {{&OwnAnswers::temperature, "temperature", {0.1, 100}, "", "of the answers"},
       {&OwnAnswers::weight, "weight", {0, 1}, "", "share of the answers in the loss"}},
      [](const OwnAnswers& o, const PruneSettings&) -> Timeline {
        return {{during(0.0, 1.0, std::make_shared<LearnOwnAnswers>(o)),
                 at(one_shot_schedule(),
                    mask_update({.score = magnitude_score(), .allocation = global_allocation()}))}};
      });
}

const Method& registered() {
  for (const Method& one : methods()) {
    if (one.name == "own-answers") return one;
  }
  register_method(own_answers());
  return method("own-answers");
}

std::unique_ptr<Pruner> pruner(nn::Module& net, const OptionTexts& given = {}) {
  OptionTexts all = {{"sparsity", "0.6"}};
  all.insert(given.begin(), given.end());
  auto result =
      make_pruner(choose_method(registered(), all), {.input_shape = {3, 8, 8}, .seed = 2});
  result->attach(net);
  return result;
}

std::unique_ptr<nn::Sgd> sgd_of(nn::Module& net) {
  return std::make_unique<nn::Sgd>(net, nn::SgdOptions{.lr = 0.02, .momentum = 0.9}, 1e-3);
}

using Values = std::map<std::string, std::vector<double>>;

Values values_of(nn::Module& net) {
  Values values;
  for (const auto& [name, tensor] : net.state_dict()) values[name] = tensor.to_vector<double>();
  return values;
}

/// The same pictures under other labels.
class Mislabelled : public TinyDataset {
 public:
  int64_t label(int64_t index) const override { return (index + index / 3) % 3; }
  void read(int64_t index, std::span<uint8_t> pixels) const override { right_.read(index, pixels); }

 private:
  TinyDataset right_;
};

TEST(ObjectiveOfAMethod, GivesTheBitsOfTheSameTrainingByHand) {
  auto net = tiny_conv_net();
  const auto hook = pruner(*net);
  const auto sgd = sgd_of(*net);
  auto loader = tiny_loader();
  nn::fit(*net, *sgd, nn::ConstantLr(0.02), *loader, {hook.get()}, {.epochs = kEpochs});

  auto by_hand = tiny_conv_net();
  const std::shared_ptr<nn::Module> dense = by_hand->clone();
  make_pruner("magnitude", {.sparsity = Sparsity(0.6)}, {.input_shape = {3, 8, 8}, .seed = 2})
      ->prune(*by_hand, nullptr, Sparsity(0.6));
  const auto own_sgd = sgd_of(*by_hand);
  auto own_loader = tiny_loader();
  nn::fit(*by_hand,
          *own_sgd,
          nn::ConstantLr(0.02),
          *own_loader,
          {},
          {.epochs = kEpochs,
           .objective = std::make_shared<nn::Distillation>(
               dense, nn::DistillationOptions{.temperature = 2.0, .weight = 1.0})});
  EXPECT_EQ(values_of(*net), values_of(*by_hand));
}

TEST(ObjectiveOfAMethod, OthersAreTrainedByLabels) {
  auto net = tiny_conv_net();
  auto labelled = tiny_conv_net();
  for (nn::Module* one :
       {static_cast<nn::Module*>(net.get()), static_cast<nn::Module*>(labelled.get())}) {
    const auto hook =
        one == net.get()
            ? pruner(*one)
            : make_pruner("magnitude",
                          {.sparsity = Sparsity(0.6), .options = {{"allocation", "global"}}},
                          {.input_shape = {3, 8, 8}, .seed = 2});
    const auto sgd = sgd_of(*one);
    auto loader = tiny_loader();
    nn::fit(*one, *sgd, nn::ConstantLr(0.02), *loader, {hook.get()}, {.epochs = 1});
  }
  EXPECT_NE(values_of(*net), values_of(*labelled));
}

TEST(ObjectiveOfAMethod, WithoutLabelsTheyDoNotMatter) {
  std::vector<Values> trained;
  for (const bool right : {true, false}) {
    auto net = tiny_conv_net();
    const auto hook = pruner(*net);
    const auto sgd = sgd_of(*net);
    std::shared_ptr<const data::Dataset> dataset = std::make_shared<TinyDataset>();
    if (!right) dataset = std::make_shared<Mislabelled>();
    data::Loader loader(dataset, {.batch_size = 16, .shuffle = true, .seed = 1, .workers = 0});
    nn::fit(*net, *sgd, nn::ConstantLr(0.02), loader, {hook.get()}, {.epochs = kEpochs});
    trained.push_back(values_of(*net));
  }
  EXPECT_EQ(trained[0], trained[1]);
}

TEST(ObjectiveOfAMethod, AKilledRunEndsWithTheSameBits) {
  auto net = tiny_conv_net();
  const auto hook = pruner(*net, {{"weight", "0.5"}});
  const auto sgd = sgd_of(*net);
  auto loader = tiny_loader();
  SaveAt save(5, *hook);
  nn::fit(*net, *sgd, nn::ConstantLr(0.02), *loader, {hook.get(), &save}, {.epochs = kEpochs});

  auto resumed = tiny_conv_net(77);
  const auto hook2 = pruner(*resumed, {{"weight", "0.5"}});
  const auto sgd2 = sgd_of(*resumed);
  resumed->load_state_dict(save.saved.model);
  sgd2->load_state_dict(save.saved.optimizer);
  hook2->load_state(save.saved.pruner);
  auto loader2 = tiny_loader();
  nn::fit(*resumed,
          *sgd2,
          nn::ConstantLr(0.02),
          *loader2,
          {hook2.get()},
          {.epochs = kEpochs, .resume = save.saved.progress});
  EXPECT_EQ(values_of(*net), values_of(*resumed));
}

}  // namespace
}  // namespace espalier::prune
