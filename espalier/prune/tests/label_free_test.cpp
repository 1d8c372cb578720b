// SPDX-License-Identifier: Apache-2.0
/// Label-free pruning: the card's numbers, the same training by hand and by PyTorch
/// (oracles/label_free.py), and labels that do not matter.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/nn/train/distillation.h>
#include <espalier/prune/scores/damage.h>
#include <espalier/prune/scores/fisher.h>
#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using testing::kExact;
using testing::linear_chain;
using testing::Options;
using testing::SmallTraining;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::TinyDataset;

constexpr int64_t kEpochs = 3;

std::unique_ptr<Pruner> pruner(nn::Module& net, const Options& given = {}) {
  Options all = given;
  all.insert({{"sparsity", "0.6"}, {"min-per-layer", "1"}, {"score", "magnitude"}});
  auto result = make_pruner("label-free",
                            parse_settings(method("label-free"), all),
                            {.input_shape = {3, 8, 8}, .seed = 2});
  result->attach(net);
  return result;
}

using Values = std::map<std::string, std::vector<double>>;

/// Values and masks.
Values values_of(nn::Module& net) {
  Values values;
  for (const auto& [name, tensor] : net.state_dict()) values[name] = tensor.to_vector<double>();
  return values;
}

Values trained(
    nn::Module& net,
    const std::vector<nn::TrainHook*>& hooks,
    const std::shared_ptr<nn::Objective>& objective = {},
    const std::shared_ptr<const data::Dataset>& samples = std::make_shared<TinyDataset>()) {
  nn::Sgd sgd(net, nn::SgdOptions{.lr = 0.02, .momentum = 0.9}, 1e-3);
  data::Loader loader(samples, {.batch_size = 16, .shuffle = true, .seed = 1, .workers = 0});
  const nn::FitOptions options{.epochs = kEpochs, .objective = objective};
  nn::fit(net, sgd, nn::ConstantLr(0.02), loader, hooks, options);
  return values_of(net);
}

TEST(LabelFree, GivesTheBitsOfTheSameTrainingByHand) {
  auto net = tiny_conv_net();
  const auto hook = pruner(*net);
  auto by_hand = tiny_conv_net();
  const std::shared_ptr<nn::Module> dense = by_hand->clone();
  make_pruner("magnitude", {.sparsity = Sparsity(0.6)}, {.input_shape = {3, 8, 8}, .seed = 2})
      ->prune(*by_hand, nullptr, Sparsity(0.6));
  const nn::DistillationOptions options{.temperature = 4.0, .weight = 1.0};
  EXPECT_EQ(trained(*net, {hook.get()}),
            trained(*by_hand, {}, std::make_shared<nn::Distillation>(dense, options)));
}

// The teacher is what the network is when training begins, whatever it was attached to.
TEST(LabelFree, LearnsTheAnswersOfTheWeightsThatTrainingStartsFrom) {
  auto net = tiny_conv_net(5);
  const auto hook = pruner(*net);
  net->load_state_dict(tiny_conv_net()->state_dict());
  auto other = tiny_conv_net();
  const auto hook2 = pruner(*other);
  EXPECT_EQ(trained(*net, {hook.get()}), trained(*other, {hook2.get()}));
}

TEST(LabelFree, OthersAreTrainedByLabels) {
  auto net = tiny_conv_net();
  const auto hook = pruner(*net);
  auto labelled = tiny_conv_net();
  const auto hook2 =
      make_pruner("magnitude", {.sparsity = Sparsity(0.6)}, {.input_shape = {3, 8, 8}, .seed = 2});
  EXPECT_NE(trained(*net, {hook.get()}), trained(*labelled, {hook2.get()}));
}

/// The same pictures under other labels.
class Mislabelled : public TinyDataset {
 public:
  int64_t label(int64_t index) const override { return (index + index / 3) % 3; }
  void read(int64_t index, std::span<uint8_t> pixels) const override { right_.read(index, pixels); }

 private:
  TinyDataset right_;
};

// The card's test: other labels change no bit of masks or weights.
TEST(LabelFree, LabelsDoNotMatter) {
  for (const char* score : {"magnitude", "fisher"}) {
    for (const char* pattern : {"unstructured", "channel"}) {
      SCOPED_TRACE(cat(score, " ", pattern));
      const Options options = {
          {"score", score}, {"pattern", pattern}, {"rounds", "2"}, {"sparsity", "0.5"}};
      auto net = tiny_conv_net();
      const auto hook = pruner(*net, options);
      auto other = tiny_conv_net();
      const auto hook2 = pruner(*other, options);
      EXPECT_EQ(trained(*net, {hook.get()}),
                trained(*other, {hook2.get()}, {}, std::make_shared<Mislabelled>()));
    }
  }
  // With the data's labels scores would differ: `obd --diagonal fisher` and `fisher` look at them.
  for (const auto& [name, options] : std::map<std::string, Options>{
           {"obd", {{"diagonal", "fisher"}, {"sparsity", "0.6"}}},
           {"fisher", {{"rounds", "1"}, {"sparsity", "0.5"}, {"min-per-layer", "1"}}}}) {
    std::vector<Values> masks;
    for (const bool right : {true, false}) {
      auto net = tiny_conv_net();
      const auto hook = make_pruner(
          name, parse_settings(method(name), options), {.input_shape = {3, 8, 8}, .seed = 2});
      std::shared_ptr<const data::Dataset> samples = std::make_shared<TinyDataset>();
      if (!right) samples = std::make_shared<Mislabelled>();
      masks.push_back(trained(*net, {hook.get()}, {}, samples));
      std::erase_if(masks.back(), [](const auto& one) { return !one.first.ends_with(".mask"); });
      ASSERT_FALSE(masks.back().empty());
    }
    EXPECT_NE(masks[0], masks[1]) << name;
  }
}

// The card's numbers: s = (1,0), t = (2,0), T = 4. Without T^2 it would be 0.0074773, without the
// mean over samples alone half of it.
TEST(LabelFree, TheLossIsTheCards) {
  auto net = linear_chain({{{2, 2}, {1, 1, 2, -2}}});
  const auto hook = make_pruner(
      "label-free",
      parse_settings(method("label-free"), {{"sparsity", "0.25"}, {"score", "magnitude"}}),
      {.input_shape = {2}, .seed = 2});
  hook->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  hook->before_step(state);
  nn::Objective* own = hook->objective(state);
  ASSERT_NE(own, nullptr);
  const data::Batch batch{Tensor::ones({3, 2}), Tensor::ones({3}, DType::I64)};
  const nn::StepLoss said = own->loss(*net, batch);
  EXPECT_NEAR(said.loss.item(), 0.1196363, 1e-6);
  EXPECT_EQ(said.logits.value().to_vector<double>(), (std::vector<double>{1, 0, 1, 0, 1, 0}));
}

TEST(LabelFree, TheTeacherIsInEvaluationAndSeesTheStudentsImages) {
  // Traps: a teacher whose norms take the batch's statistics, and renew their own; one that is
  // shown other images than those that the loader has augmented for the student.
  auto net = tiny_conv_net();
  Tensor mean = net->state_dict().at("1.running_mean");
  mean.fill_(0.5);  // not those of a batch
  const auto hook = pruner(*net);
  const std::unique_ptr<nn::Module> teacher = net->clone();
  teacher->eval();
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  net->train();
  Rng rng(4);
  for (int64_t step = 0; step < 2; ++step) {
    state.step = step;
    hook->before_step(state);
    data::Batch batch{Tensor::empty({5, 3, 8, 8}), Tensor::zeros({5}, DType::I64)};
    fill_normal_(batch.images, rng);
    const nn::StepLoss said = hook->objective(state)->loss(*net, batch);
    const Variable right =
        nn::distillation_loss(said.logits,
                              (*teacher)(Variable(batch.images)),
                              batch.labels,
                              nn::DistillationOptions{.temperature = 4.0, .weight = 1.0});
    EXPECT_EQ(said.loss.item(), right.item());
    EXPECT_GT(said.loss.item(), 1e-3);
  }
  EXPECT_EQ(hook->state().at("event.0.1.running_mean").to_vector<float>(),
            std::vector<float>(8, 0.5F));
  EXPECT_NE(net->state_dict().at("1.running_mean").to_vector<float>(),
            std::vector<float>(8, 0.5F));  // the student's go on
}

/// Two classes that are equally likely: a drawn label's square of gradients is no matter of chance.
std::unique_ptr<nn::Sequential> undecided(double difference) {
  const auto d = static_cast<float>(difference);
  return linear_chain({{{2, 2}, {d, 0.5F, 0, 0.5F}}});
}

// One weight d at an input of 1 that is switched off there: KL(softmax(0,0) || softmax(d,0)) is d^2
// / 8 up to its fourth power.
TEST(LabelFree, FisherIsHowMuchAnswersChange) {
  constexpr double kSmall = 1.0 / 32;
  const auto net = undecided(kSmall);
  const PruneInputs inputs = testing::inputs_of(Tensor::ones({4, 2}));
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  Rng rng(1);
  const auto scores = damage_score({.diagonal = Diagonal::GaussNewton, .gradients = 4})
                          ->compute({*net, weights, inputs, rng})
                          .at(0)
                          .to_vector<double>();
  const double p = 1.0 / (1.0 + std::exp(-kSmall));
  const double kl = p * std::log(2.0 * p) + (1.0 - p) * std::log(2.0 * (1.0 - p));
  // Labels differ in their squares by 3 % here, p^2 and (1 - p)^2.
  EXPECT_NEAR(scores[0] / kl, 1.0, 0.04);
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/label_free.inc>
  };
  return values;
}

TEST(LabelFreeOracle, TheTrainingIsPyTorchs) {
  SmallTraining training(oracle());
  Timeline timeline = choose_method(method("label-free"),
                                    parse_settings(method("label-free"), {{"score", "magnitude"}}))
                          .timeline();
  EXPECT_EQ(training.run(std::move(timeline), {.input_shape = {6}}, Sparsity(0.5)), 7);
}

// E g^2 over all labels, each as likely as the network says; its error is that of 4000 draws.
TEST(LabelFreeOracle, FisherIsTheMeanOverDrawnLabels) {
  constexpr int64_t kDraws = 4000;
  SmallTraining training(oracle());
  PruneInputs inputs{.seed = 1};
  inputs.batch = [&](int64_t) { return training.batch(0); };
  const std::vector<nn::NamedParameter> weights = prunable_weights(training.net);
  Rng rng(1);
  const std::vector<Tensor> scores =
      damage_score({.diagonal = Diagonal::GaussNewton, .gradients = kDraws})
          ->compute({training.net, weights, inputs, rng});
  for (size_t w = 0; w < weights.size(); ++w) {
    const auto& right = oracle().at("fisher " + weights[w].name);
    const auto& spread = oracle().at("spread " + weights[w].name);
    const auto found = scores[w].to_vector<double>();
    ASSERT_EQ(found.size(), right.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], right[i], 4.5 * spread[i] / std::sqrt(kDraws) + kExact)
          << w << " " << i;
    }
  }
}

}  // namespace
}  // namespace espalier::prune
