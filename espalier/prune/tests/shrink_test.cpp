// SPDX-License-Identifier: Apache-2.0
// Shrinking against the masked network that it replaces: same logits, same next training step, and
// the MACs that the masks promised.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <espalier/autograd/ops.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

constexpr double kLogitTolerance = 1e-5;
constexpr double kExactLogitTolerance = 1e-8;
constexpr double kStepTolerance = 1e-10;  // in float64

/// Random channels of every group that may go; at least one of each stays.
std::vector<std::vector<uint8_t>> random_choice(const std::vector<ChannelGroup>& groups,
                                                double removed,
                                                uint64_t seed) {
  std::vector<std::vector<uint8_t>> keep;
  Rng rng(seed, "random choice");
  for (const ChannelGroup& group : groups) {
    std::vector<uint8_t> channels(static_cast<size_t>(group.channels), 1);
    if (group.frozen_because.empty()) {
      auto count = static_cast<int64_t>(std::lround(removed * static_cast<double>(group.channels)));
      count = std::min(count, group.channels - 1);
      const std::vector<int64_t> order = rng.permutation(group.channels);
      for (int64_t i = 0; i < count; ++i) channels[static_cast<size_t>(order[size_t(i)])] = 0;
    }
    keep.push_back(std::move(channels));
  }
  return keep;
}

struct Case {
  const char* name;
  nn::ModelOptions options;
  double removed;
};

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string text = info.param.name;
  if (info.param.options.shortcut == nn::Shortcut::B) text += "B";
  if (info.param.options.stem == nn::Stem::ImageNet) text += "_imagenet";
  text += "_" + std::to_string(static_cast<int>(info.param.removed * 100));
  std::ranges::replace(text, '-', '_');
  return text;
}

/// Every model of the zoo, so that a new one is in it; and the variants that it does not list.
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const double removed : {0.3, 0.6}) {
    for (const nn::ModelInfo& model : nn::model_list()) {
      cases.push_back({model.name.c_str(), small_options(model.name), removed});
    }
    cases.push_back({"resnet20", {.width = 0.5, .shortcut = nn::Shortcut::B}, removed});
    for (const nn::ModelInfo& model : nn::model_list()) {
      if (!model.stems) continue;
      cases.push_back({model.name.c_str(), large_stem_options(model.name), removed});
    }
    cases.push_back({"wrn-10-2", small_options("wrn-10-2"), removed});
    cases.push_back({"densenet-bc-22-12", small_options("densenet-bc-22-12"), removed});
  }
  return cases;
}

class Shrink : public testing::TestWithParam<Case> {};

TEST_P(Shrink, ComputesWhatTheMaskedNetworkDoes) {
  const auto& [name, options, removed] = GetParam();
  const auto masked = nn::make_model(name, options);
  randomize(*masked, 1);
  const Variable one = random_input(name, options, 1);
  const auto groups = trace_channels(*masked, one).groups(*masked);
  mask_channels(*masked, groups, random_choice(groups, removed, 2));
  const nn::ModelCount promised = nn::count_model(*masked, one);

  const auto small = masked->clone();
  const ResizeReport report = shrink(*small, one);
  EXPECT_LT(report.params, report.params_before);
  EXPECT_LT(report.channels, report.channels_before);
  EXPECT_TRUE(report.notes.empty()) << report.notes.front();

  const Variable x = random_input(name, options, 3);
  const Tensor single = logits(*masked, x);
  const Tensor single_of_small = logits(*small, x);
  // Random norms let the numbers of a deep network grow: float32 is held against the largest logit,
  // float64 against a number.
  const double largest = largest_difference(single, Tensor::zeros_like(single));
  EXPECT_LT(largest_difference(single, single_of_small), kLogitTolerance * std::max(1.0, largest));
  const auto exact_masked = masked->clone();
  const auto exact_small = small->clone();
  exact_masked->to(DType::F64);
  exact_small->to(DType::F64);
  EXPECT_LT(
      largest_difference(logits(*exact_masked, in_float64(x)), logits(*exact_small, in_float64(x))),
      kExactLogitTolerance);

  // Whole slices were masked on both sides of every channel, so what is kept is what is left.
  const nn::ModelCount count = nn::count_model(*small, one);
  EXPECT_EQ(count.total.macs_dense, promised.total.macs_effective);
  EXPECT_EQ(count.total.weights, promised.total.weights_nonzero);
  EXPECT_EQ(count.total.params, report.params);
  for (const nn::NamedParameter& p : small->named_parameters()) {
    EXPECT_FALSE(p.parameter->masked()) << p.name;
  }
}

TEST_P(Shrink, SurvivesSavingAndLoadingWithoutBeingTold) {
  const auto& [name, options, removed] = GetParam();
  const auto model = nn::make_model(name, options);
  randomize(*model, 1);
  const Variable one = random_input(name, options, 1);
  const auto groups = trace_channels(*model, one).groups(*model);
  mask_channels(*model, groups, random_choice(groups, removed, 3));
  shrink(*model, one);
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) /
                                     (case_name({GetParam(), 0}) + "_shrunk.safetensors");
  nn::save_model(path, name, options, *model);
  const nn::SavedModel loaded = nn::load_model(path);
  std::filesystem::remove(path);
  EXPECT_EQ(loaded.name, nn::canonical_model_name(name));
  const Variable x = random_input(name, options, 2);
  EXPECT_EQ(largest_difference(logits(*model, x), logits(*loaded.module, x)), 0.0);
}

INSTANTIATE_TEST_SUITE_P(Zoo, Shrink, testing::ValuesIn(all_cases()), case_name);

std::unique_ptr<nn::Optimizer> make_optimizer(const std::string& name, nn::Module& model) {
  constexpr double kDecay = 5e-4;
  // With a small eps a gradient that is zero but for rounding would move its weight by the whole
  // learning rate, in a direction of its own.
  const nn::AdamOptions adam = {.lr = 0.02, .eps = 1e-3};
  if (name == "adam") return std::make_unique<nn::Adam>(model, adam, kDecay);
  if (name == "adamw") return std::make_unique<nn::AdamW>(model, adam, kDecay);
  const nn::SgdOptions sgd = {.lr = 0.02, .momentum = 0.9, .nesterov = true};
  return std::make_unique<nn::Sgd>(model, sgd, kDecay);
}

class ShrinkTraining : public testing::TestWithParam<std::tuple<Case, std::string>> {};

TEST_P(ShrinkTraining, NextStepIsTheMaskedOnes) {
  const auto& [name, options, removed] = std::get<0>(GetParam());
  const auto masked = nn::make_model(name, options);
  masked->to(DType::F64);
  const Variable one = in_float64(random_input(name, options, 1));
  const auto groups = trace_channels(*masked, one).groups(*masked);
  mask_channels(*masked, groups, random_choice(groups, removed, 2));
  const auto small = masked->clone();
  const auto optimizer_of_masked = make_optimizer(std::get<1>(GetParam()), *masked);
  const auto optimizer_of_small = make_optimizer(std::get<1>(GetParam()), *small);

  const Variable x = in_float64(random_input(name, options, 6));
  const Tensor labels = labels_for(x);
  // One step before shrinking gives the optimizer something to be cut.
  train_step(*masked, *optimizer_of_masked, x, labels);
  train_step(*small, *optimizer_of_small, x, labels);
  shrink(*small, one, optimizer_of_small.get());
  train_step(*masked, *optimizer_of_masked, x, labels);
  train_step(*small, *optimizer_of_small, x, labels);

  // The masked network, cut now, is the small one.
  shrink(*masked, one, optimizer_of_masked.get());
  const auto expected = masked->state_dict();
  const auto got = small->state_dict();
  ASSERT_EQ(expected.size(), got.size());
  for (const auto& [member, tensor] : expected) {
    EXPECT_LT(largest_difference(tensor, got.at(member)), kStepTolerance) << member;
  }
  const auto expected_state = optimizer_of_masked->state_dict();
  const auto state = optimizer_of_small->state_dict();
  ASSERT_EQ(expected_state.size(), state.size());
  for (const auto& [slot, tensor] : expected_state) {
    EXPECT_LT(largest_difference(tensor, state.at(slot)), kStepTolerance) << slot;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Zoo,
    ShrinkTraining,
    testing::Combine(testing::ValuesIn(all_cases()), testing::Values("nesterov", "adam", "adamw")),
    [](const auto& info) {
      return case_name({std::get<0>(info.param), info.index}) + "_" + std::get<1>(info.param);
    });

TEST(ShrinkLimits, NormThatShiftsKeepsItsChannel) {
  const auto model = nn::make_model("vgg11", {.width = 0.125});
  randomize(*model, 1);
  // The filter alone: the norm after it still adds its bias.
  nn::Parameter& filter = model->parameter("features.0.weight");
  Tensor mask = Tensor::ones(filter.shape(), DType::U8);
  mask.slice(0, 2, 3).fill_(0.0);
  filter.set_mask(mask);
  const ResizeReport report = shrink(*model, Variable(Tensor::zeros({1, 3, 32, 32})));
  EXPECT_EQ(report.params, report.params_before);
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("features.1"), std::string::npos) << report.notes[0];
}

TEST(ShrinkLimits, EmptyLayerIsNamedAndNothingChanges) {
  const auto model = nn::make_model("vgg11", {.width = 0.125});
  for (const char* name : {"features.4.weight", "features.5.weight", "features.5.bias"}) {
    nn::Parameter& p = model->parameter(name);
    p.set_mask(Tensor::zeros(p.shape(), DType::U8));
  }
  try {
    shrink(*model, Variable(Tensor::zeros({1, 3, 32, 32})));
    FAIL() << "shrank to nothing";
  } catch (const ValueError& e) {
    EXPECT_NE(std::string(e.what()).find("features.4"), std::string::npos) << e.what();
  }
  EXPECT_EQ(model->parameter("features.4.weight").shape(), (Shape{16, 8, 3, 3}));
}

TEST(ShrinkLimits, UnstructuredMasksAreCutAndKept) {
  const auto model = nn::make_model("lenet5", {.image = {1, 28, 28}});
  const Variable one(Tensor::zeros({1, 1, 28, 28}));
  const auto groups = trace_channels(*model, one).groups(*model);
  std::vector<std::vector<uint8_t>> keep;
  for (const ChannelGroup& group : groups) keep.emplace_back(size_t(group.channels), uint8_t{1});
  keep[0][7] = 0;
  mask_channels(*model, groups, keep);
  // One more weight goes, of a filter that stays.
  nn::Parameter& weight = model->parameter("conv1.weight");
  Tensor mask = weight.mask().clone();
  mask.data<uint8_t>()[0] = 0;
  weight.set_mask(mask);
  shrink(*model, one);
  EXPECT_EQ(weight.shape(), (Shape{19, 1, 5, 5}));
  EXPECT_TRUE(weight.masked());
  EXPECT_EQ(weight.nnz(), 19 * 25 - 1);
  EXPECT_FALSE(model->parameter("conv2.weight").masked());
}

TEST(ShrinkLimits, FrozenGroupsCannotBeMasked) {
  const auto model = nn::make_model("lenet5", {.image = {1, 28, 28}});
  const auto groups = channel_groups(*model, {1, 28, 28});
  std::vector<std::vector<uint8_t>> keep;
  for (const ChannelGroup& group : groups) keep.emplace_back(size_t(group.channels), uint8_t{1});
  keep.back()[0] = 0;  // a class
  EXPECT_THROW(mask_channels(*model, groups, keep), ValueError);
  EXPECT_FALSE(model->parameter("fc2.weight").masked());
}

}  // namespace
}  // namespace espalier::prune
