// SPDX-License-Identifier: Apache-2.0
/// What methods refuse: masks that cut the network, and no others.
#include <gtest/gtest.h>

#include <espalier/nn/models/registry.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/sites/collapse.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using Given = std::map<std::string, std::string>;

/// Prunes before training, and does nothing else; the report's notes.
std::vector<std::string> prune(nn::Module& net,
                               const std::string& name,
                               const Given& given,
                               const PruneInputs& inputs) {
  const auto hook = make_pruner(name, parse_settings(method(name), given), inputs);
  nn::Sgd sgd(net, {.lr = 0.1});
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  return hook->updates().at(0).notes;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ValueError& error) {
    return error.what();
  }
  return "";
}

void set_mask(nn::Module& net, const std::string& name, const std::vector<uint8_t>& mask) {
  nn::Parameter& weight = net.parameter(name);
  weight.set_mask(Tensor::from<uint8_t>(weight.shape(), mask));
}

TEST(Collapse, IsACutAndNamesWhereTheWaysEnd) {
  // Of 8 weights the four of the first layer are the largest.
  auto net = linear_chain({{{2, 2}, {9, 8, 7, 6}}, {{2, 2}, {1, 2, 3, 4}}});
  const PruneInputs inputs = {.input_shape = {2}};
  const std::string text = error_of([&] {
    prune(*net, "magnitude", {{"sparsity", "0.5"}}, inputs);
  });
  EXPECT_NE(text.find("no path of weights leads from the network's input to its outputs"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("nothing passes through 1.weight (layer collapse)"), std::string::npos);
  EXPECT_NE(text.find("min-per-layer"), std::string::npos);
  EXPECT_FALSE(net->parameter("0.weight").masked());
  EXPECT_FALSE(net->parameter("1.weight").masked());

  const auto notes =
      prune(*net, "magnitude", {{"sparsity", "0.5"}, {"allow-collapse", "true"}}, inputs);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("collapsed: no path of weights"), std::string::npos) << notes[0];
  EXPECT_EQ(net->parameter("1.weight").nnz(), 0);
}

TEST(Collapse, IsFoundWhereNoLayerIsEmpty) {
  // Kept are 9 (input 0 to hidden 0) and 4 (hidden 1 to output 1).
  auto net = linear_chain({{{2, 2}, {9, 1, 1, 1}}, {{2, 2}, {1, 1, 1, 4}}});
  const Given given = {{"sparsity", "0.75"}};
  EXPECT_NE(
      error_of([&] { prune(*net, "magnitude", given, {.input_shape = {2}}); }).find("1.weight"),
      std::string::npos);
  // Without a sample the network's paths are not known, and no layer is empty.
  EXPECT_NO_THROW(prune(*net, "magnitude", given, {}));
}

TEST(Collapse, IsFoundThroughMasksThatWereThereBefore) {
  auto net = linear_chain({{{2, 2}, {9, 8, 1, 1}}, {{2, 2}, {1, 7, 1, 6}}});
  set_mask(*net, "1.weight", {0, 1, 0, 1});  // reads hidden 1, and is left out below
  EXPECT_THROW(
      prune(*net, "magnitude", {{"sparsity", "0.5"}, {"exclude", "1"}}, {.input_shape = {2}}),
      ValueError);
}

TEST(Collapse, AShuffledMaskIsLookedAtToo) {
  // The unshuffled mask keeps one path; of 9 ways to shuffle it, 6 cut it.
  int cut = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    auto net = linear_chain({{{3, 1}, {9, 1, 1}}, {{1, 3}, {9, 1, 1}}});
    const Given given = {{"sparsity", "0.66"}, {"ablation", "shuffle"}};
    const std::string text =
        error_of([&] { prune(*net, "magnitude", given, {.input_shape = {1}, .seed = seed}); });
    const bool met = mask_of(net->parameter("0.weight")) == mask_of(net->parameter("1.weight"));
    if (text.empty()) {
      EXPECT_TRUE(met) << seed;
      EXPECT_EQ(net->parameter("0.weight").nnz(), 1);
    } else {
      ++cut;
    }
  }
  EXPECT_GT(cut, 2);
  EXPECT_LT(cut, 12);
}

TEST(Collapse, ALostOutputIsToldAndAllowed) {
  auto net = linear_chain({{{2, 2}, {9, 9, 9, 9}}, {{3, 2}, {8, 8, 1, 1, 8, 8}}});
  const auto notes = prune(*net, "magnitude", {{"sparsity", "0.2"}}, {.input_shape = {2}});
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("1 of 3 outputs no longer depend on the input (counted from 0: 1)"),
            std::string::npos)
      << notes[0];
}

TEST(Collapse, SynflowMayEmptyAShortcutWhichLeavesThePathBesideIt) {
  // Kept weights by layer as PyTorch chooses them (float64, the same initial weights, 20 rounds,
  // an input of ones of 16x16): of the last 1x1 shortcut nothing, and the flow is 6.7e13.
  const std::map<std::string, int64_t> by_pytorch = {
      {"conv1.weight", 411},
      {"layer1.0.conv1.weight", 3340},
      {"layer1.0.conv2.weight", 4983},
      {"layer1.0.downsample.weight", 49},
      {"layer1.1.conv1.weight", 4982},
      {"layer1.1.conv2.weight", 4997},
      {"layer2.0.conv1.weight", 5954},
      {"layer2.0.conv2.weight", 6228},
      {"layer2.0.downsample.weight", 6},
      {"layer2.1.conv1.weight", 5784},
      {"layer2.1.conv2.weight", 6122},
      {"layer3.0.conv1.weight", 6039},
      {"layer3.0.conv2.weight", 6297},
      {"layer3.0.downsample.weight", 0},
      {"layer3.1.conv1.weight", 5678},
      {"layer3.1.conv2.weight", 6969},
      {"fc.weight", 1145},
  };
  const auto model = nn::make_model("wrn-16-2");
  const auto notes = prune(
      *model, "synflow", {{"sparsity", "0.9"}, {"rounds", "20"}}, {.input_shape = {3, 16, 16}});
  for (const auto& [name, kept] : by_pytorch) EXPECT_EQ(model->parameter(name).nnz(), kept) << name;
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0],
            "nothing passes any more through layer3.0.downsample.weight; the network goes on "
            "beside");
}

TEST(Collapse, WithoutASampleALayerWithNothingLeftCounts) {
  auto net = linear_chain({{{2, 2}, {9, 8, 7, 6}}, {{2, 2}, {1, 2, 3, 4}}});
  EXPECT_NE(error_of([&] {
              prune(*net, "magnitude", {{"sparsity", "0.5"}}, {});
            }).find("nothing is left of 1.weight"),
            std::string::npos);
}

TEST(Collapse, TheSampleMayComeFromTheBatches) {
  auto net = linear_chain({{{2, 2}, {9, 8, 7, 6}}, {{2, 2}, {1, 2, 3, 4}}});
  const PruneInputs inputs = {.batch = [](int64_t) {
    return data::Batch{Tensor::ones({4, 2}), Tensor::zeros({4}, DType::I64)};
  }};
  EXPECT_NE(error_of([&] {
              prune(*net, "magnitude", {{"sparsity", "0.5"}}, inputs);
            }).find("nothing passes through 1.weight"),
            std::string::npos);
}

}  // namespace
}  // namespace espalier::prune
