// SPDX-License-Identifier: Apache-2.0
/// Prune, then distill: the card's numbers, the same training by hand and by PyTorch
/// (oracles/prune_then_distill.py), and the traps.
#include <gtest/gtest.h>

#include <espalier/nn/train/distillation.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/tests/killed_run.h>
#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::Options;
using testing::SmallTraining;
using testing::tiny_conv_net;
using testing::tiny_loader;

std::unique_ptr<Pruner> pruner(const Options& given, PruneInputs inputs) {
  const Method& chosen = method("prune-then-distill");
  return make_pruner(chosen.name, parse_settings(chosen, given), std::move(inputs));
}

PruneInputs inputs_with_fresh() {
  return {.input_shape = {3, 8, 8}, .fresh_model = [](uint64_t) { return tiny_conv_net(77); }};
}

std::map<std::string, std::vector<double>> trained(
    nn::Module& net,
    const std::vector<nn::TrainHook*>& hooks,
    const std::shared_ptr<nn::Objective>& objective = {}) {
  nn::Sgd sgd(net, nn::SgdOptions{.lr = 0.02, .momentum = 0.9}, 1e-3);
  auto loader = tiny_loader();
  nn::fit(net, sgd, nn::ConstantLr(0.02), *loader, hooks, {.epochs = 3, .objective = objective});
  std::map<std::string, std::vector<double>> values;
  for (const auto& [name, tensor] : net.state_dict()) values[name] = tensor.to_vector<double>();
  return values;
}

// Of a layer's units as many stay as their shares add up to: 0.25 + 0.5 + 1 + 0.75 is 2.5.
TEST(PruneThenDistill, WidthsAreTheWidthTimesTheDensity) {
  const std::vector<double> shares = {0.25, 0.5, 1, 0.75};
  const std::vector<double> few = {0.1, 0.1, 0.1, 0.1, 0.1};  // 0.5 up to rounding
  const std::vector<uint8_t> alive(5, 1);
  const std::vector<SiteScores> layers = {
      {"a", {4, 4}, 4, shares, std::span(alive).first(4), {}, {}},
      {"b", {5, 9}, 5, few, alive, {}, {}}};
  const auto allocation = summed_allocation();
  for (const double sparsity : {0.0, 0.5, 0.9}) {
    EXPECT_EQ(allocation->keep(layers, Sparsity(sparsity)), (std::vector<int64_t>{3, 1}));
  }
}

// Twelve of 24 weights go: rows keep 4, 3, 1 and none of 4, so the student has two channels of
// four, those of the first rows. They depend on the teacher's mask alone.
TEST(PruneThenDistill, TheStudentIsAsWideAsTheTeacherIsDense) {
  auto net =
      linear_chain({{{4, 4}, {5, 5, 5, 5, 5, 5, 5, .1F, 5, .1F, .1F, .1F, .1F, .1F, .1F, .1F}},
                    {{2, 4}, {5, 5, .1F, .1F, 5, 5, .1F, .1F}}});
  const auto hook = pruner({{"sparsity", "0.5"}}, {.input_shape = {4}});
  hook->attach(*net);
  nn::Sgd sgd(*net, {.lr = 0.1}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  const std::vector<int> teacher = {1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(mask_of(net->parameter("0.weight")), teacher);
  hook->before_step(state);
  EXPECT_EQ(hook->objective(state), nullptr);  // the teacher learns from labels
  state.step = 5;
  hook->before_step(state);
  EXPECT_NE(hook->objective(state), nullptr);
  EXPECT_EQ(mask_of(net->parameter("0.weight")),
            (std::vector<int>{1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{1, 1, 0, 0, 1, 1, 0, 0}));
  // Trap: what the teacher has lost is there again, in new weights.
  EXPECT_NE(net->parameter("0.weight").value.value().at({1, 3}), 0.0);
  EXPECT_NE(net->parameter("0.weight").value.value().at({0, 0}), 5.0);
}

// The card's test: without pruning it is distillation from the dense network, to the last bit.
TEST(PruneThenDistill, WithoutPruningItIsPlainDistillation) {
  auto net = tiny_conv_net();
  const auto hook = pruner({{"sparsity", "0"}, {"teacher-until", "0"}}, inputs_with_fresh());
  hook->attach(*net);
  auto by_hand = tiny_conv_net(77);
  const nn::DistillationOptions options{.temperature = 4.0, .weight = 0.9};
  EXPECT_EQ(trained(*net, {hook.get()}),
            trained(*by_hand,
                    {},
                    std::make_shared<nn::Distillation>(std::shared_ptr<nn::Module>(tiny_conv_net()),
                                                       options)));
}

/// The teacher's tensors in a saved state.
std::map<std::string, Tensor> teacher_of(const Pruner& pruner) {
  std::map<std::string, Tensor> out;
  const std::string prefix = "event.1.";
  for (const auto& [name, tensor] : pruner.state()) {
    if (name.starts_with(prefix)) out[name.substr(prefix.size())] = tensor.clone();
  }
  return out;
}

/// Keeps the network as it was before the student began, and the teacher after.
class Watch : public nn::TrainHook {
 public:
  explicit Watch(Pruner& pruner) : pruner_(pruner) {}
  void after_step(nn::TrainState& state) override {
    if (state.step == 6) pruned = testing::copied(state.model.state_dict());
    if (state.step == 7) teacher = teacher_of(pruner_);
  }
  std::map<std::string, Tensor> pruned, teacher;

 private:
  Pruner& pruner_;
};

// Traps: the teacher is the pruned network, not the dense one, with its statistics, and it never
// learns.
TEST(PruneThenDistill, TheTeacherIsThePrunedNetworkAndStandsStill) {
  auto net = tiny_conv_net();
  const auto hook = pruner({{"sparsity", "0.6"}, {"min-per-layer", "1"}}, inputs_with_fresh());
  hook->attach(*net);
  Watch watch(*hook);
  trained(*net, {hook.get(), &watch});
  const std::map<std::string, Tensor> end = teacher_of(*hook);
  ASSERT_EQ(watch.teacher.size(), watch.pruned.size());
  int64_t zeros = 0;
  for (const auto& [name, tensor] : watch.pruned) {
    EXPECT_EQ(watch.teacher.at(name).to_vector<double>(), tensor.to_vector<double>()) << name;
    EXPECT_EQ(end.at(name).to_vector<double>(), tensor.to_vector<double>()) << name;
    if (!name.ends_with(".mask")) continue;
    const auto mask = tensor.to_vector<int>();
    zeros += std::ranges::count(mask, 0);
  }
  // 216 + 1152 + 3072 weights.
  EXPECT_EQ(zeros, 2664);
}

TEST(PruneThenDistill, AnotherTeacherTeachesOtherThings) {
  std::vector<std::map<std::string, std::vector<double>>> students;
  for (const char* share : {"0.9", "0"}) {
    auto net = tiny_conv_net();
    const auto hook = pruner({{"sparsity", "0.3"}, {"teacher-share", share}}, inputs_with_fresh());
    hook->attach(*net);
    students.push_back(trained(*net, {hook.get()}));
  }
  EXPECT_EQ(students[0].at("3.weight.mask"), students[1].at("3.weight.mask"));
  EXPECT_NE(students[0].at("3.weight"), students[1].at("3.weight"));
}

TEST(PruneThenDistill, AnActionMayHaveAPatternOfItsOwn) {
  auto net = tiny_conv_net();
  const LayerPatterns channels(make_pattern("channel"));
  const PruneSettings settings{.sparsity = Sparsity(0.5)};
  const PruneInputs inputs{.input_shape = {3, 8, 8}};
  const auto action = under_pattern(
      "kernel",
      mask_update({.score = magnitude_score(), .allocation = make_allocation("uniform")}));
  const Moment now{.sparsity = Sparsity(0.5)};
  action->update({*net, nullptr, channels, settings, inputs}, {&now, 1}, {.last = true});
  EXPECT_FALSE(net->parameter("1.weight").masked());  // batch norm
  const std::vector<int> mask = mask_of(net->parameter("3.weight"));
  int64_t kept = 0;
  for (size_t i = 0; i < mask.size(); i += 9) {
    EXPECT_EQ(std::count(mask.begin() + static_cast<std::ptrdiff_t>(i),
                         mask.begin() + static_cast<std::ptrdiff_t>(i + 9),
                         mask[i]),
              9);
    kept += mask[i];
  }
  EXPECT_EQ(kept, 64);
  EXPECT_THROW(under_pattern("no-pattern", action), ValueError);
  EXPECT_TRUE(release_masks(StateOfLiving::Kept)->refusal(channels.common()).size() > 0);
  EXPECT_TRUE(under_pattern("unstructured", release_masks(StateOfLiving::Kept))
                  ->refusal(channels.common())
                  .empty());
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/prune_then_distill.inc>
  };
  return values;
}

TEST(PruneThenDistillOracle, TheTrainingIsPyTorchs) {
  SmallTraining training(oracle());
  PruneInputs inputs{.input_shape = {6}};
  inputs.fresh_model = [](uint64_t) {
    auto fresh = std::make_unique<nn::Sequential>();
    fresh->add(nn::Linear({.in = 6, .out = 5, .bias = false}));
    fresh->add(nn::ReLU());
    fresh->add(nn::Linear({.in = 5, .out = 3, .bias = false}));
    fresh->to(DType::F64);
    for (const nn::NamedParameter& one : fresh->named_parameters()) {
      one.parameter->value.value().copy_(
          Tensor::from(one.parameter->shape(), oracle().at("fresh " + one.name)));
    }
    return fresh;
  };
  Timeline timeline = choose_method(method("prune-then-distill"),
                                    parse_settings(method("prune-then-distill"), {{"rounds", "2"}}))
                          .timeline();
  EXPECT_EQ(training.run(std::move(timeline), inputs, Sparsity(0.4), {}, "channel"), 10 + 4);
}

}  // namespace
}  // namespace espalier::prune
