// SPDX-License-Identifier: Apache-2.0
/// Wanda on hand-worked matrices, and the order in which it prunes blocks.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::inputs_of;
using testing::kHand;
using testing::linear_chain;
using testing::mask_of;
using testing::prune_now;

std::unique_ptr<nn::Sequential> wanda_layer() {
  return linear_chain({{{2, 4}, {1, -3, 2, .5F, .1F, .2F, -.3F, 4}}});
}
// Its card gives the inputs by feature; here a row is a sample.
const Tensor kWandaInputs = Tensor::from<float>({2, 4}, {1, .1F, 2, 1, 1, .1F, 0, 3});

TEST(Wanda, ScoresAreWeightsTimesInputNorms) {
  auto net = wanda_layer();
  const auto scores = raw_scores(
      "wanda", *net, parse_settings(method("wanda"), {{"batches", "1"}}), inputs_of(kWandaInputs));
  expect_near(scores.at("0.weight"),
              {1.414213562, .424264069, 4, 1.581138830, .141421356, .028284271, .6, 12.649110641},
              kHand);
}

TEST(Wanda, EveryRowLosesItsLowest) {
  auto net = wanda_layer();
  prune_now("wanda", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs_of(kWandaInputs));
  // Magnitude would remove columns 3 and 0 of the first row.
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 0, 1, 1, 0, 0, 1, 1}));
  expect_near(net->parameter("0.weight").value.value(), {0, 0, 2, .5, 0, 0, -.3F, 4}, 0.0);
}

TEST(Wanda, RanksWithinRowsNotOverTheLayer) {
  // Over the whole layer the second row, a hundred times smaller, would lose everything.
  auto net = linear_chain({{{2, 4}, {1, 2, 3, 4, .04F, .03F, .02F, .01F}}});
  const Tensor same = Tensor::ones({3, 4});
  prune_now("wanda", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs_of(same));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 0, 1, 1, 1, 1, 0, 0}));
}

TEST(Wanda, KeepsNOfMNotM) {
  // Trap: n counts the removed ones in the published code, the kept ones here. 1:4 keeps one.
  auto net = wanda_layer();
  prune_now("wanda", {{"pattern", "1:4"}, {"batches", "1"}}, *net, inputs_of(kWandaInputs));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 0, 1, 0, 0, 0, 0, 1}));
}

TEST(Wanda, WithInputsOfOneNormItIsMagnitudeByRow) {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Linear({.in = 12, .out = 5}));
  testing::randomize(*net, 8);
  auto other = net->clone();
  Tensor inputs = Tensor::zeros({12, 12});
  for (int64_t i = 0; i < 12; ++i) inputs.data<float>()[i * 13] = 2.0F;
  prune_now("wanda", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs_of(inputs));
  const auto w = other->parameter("0.weight").value.value().to_vector<double>();
  const auto mask = mask_of(net->parameter("0.weight"));
  for (size_t row = 0; row < 5; ++row) {
    for (size_t a = row * 12; a < (row + 1) * 12; ++a) {
      for (size_t b = row * 12; b < (row + 1) * 12; ++b) {
        if (mask[a] > mask[b]) {
          EXPECT_GE(std::abs(w[a]), std::abs(w[b]));
        }
      }
    }
    EXPECT_EQ(std::accumulate(mask.begin() + row * 12, mask.begin() + (row + 1) * 12, 0), 6);
  }
}

TEST(Wanda, MoreBatchesThanThereAreAreNotedAndCountOnce) {
  const auto report_of = [](const char* asked, int64_t there, bool single) {
    auto net = wanda_layer();
    PruneInputs inputs = inputs_of(kWandaInputs);
    inputs.batches = there;
    inputs.single_batch = single;
    int64_t taken = 0;
    inputs.batch = [&taken, batch = inputs.batch](int64_t index) {
      taken = std::max(taken, index + 1);
      return batch(index);
    };
    UpdateReport report;
    prune_now("wanda", {{"sparsity", "0.5"}, {"batches", asked}}, *net, inputs, &report);
    return std::pair(taken, report.notes);
  };
  EXPECT_EQ(report_of("3", 3, false).first, 3);
  EXPECT_TRUE(report_of("3", 3, false).second.empty());
  EXPECT_EQ(report_of("400", 0, false).first, 400);  // nobody knows how many there are
  EXPECT_EQ(report_of("400", 0, true).first, 1);
  const auto [taken, notes] = report_of("400", 3, false);
  EXPECT_EQ(taken, 3);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("asked for 400 batches"), std::string::npos);
  EXPECT_NE(notes[0].find("training data has 3"), std::string::npos);
}

TEST(Wanda, InsideOfFitItCountsTheTrainingsBatches) {
  auto net = testing::tiny_mlp();
  const auto pruner =
      make_pruner("wanda", parse_settings(method("wanda"), {{"batches", "400"}}), {});
  nn::Sgd sgd(*net, {});
  const auto loader = testing::tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.0), *loader, {pruner.get()}, {.epochs = 0});
  const std::vector<std::string>& notes = pruner->updates().at(0).notes;
  ASSERT_EQ(notes.size(), 1U);  // said once, not for every block
  EXPECT_NE(notes[0].find("training data has 4"), std::string::npos);
}

/// Layer 0 gives (6,7) whole and (4,4) pruned, so that 1.1 and 1 rank differently in layer 1.
TEST(Wanda, APrunedBlockFeedsTheNext) {
  const Tensor inputs = Tensor::from<float>({1, 2}, {4, 1});
  auto net = linear_chain({{{2, 2}, {1, 2, 1, 3}}, {{1, 2}, {1.1F, 1}}});
  prune_now("wanda", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs_of(inputs));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 0, 1, 0}));
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{1, 0}));
}

TEST(Wanda, TheLayersOfABlockAreScoredWhileItIsWhole) {
  const Tensor inputs = Tensor::from<float>({1, 2}, {4, 1});
  nn::Sequential net;
  net.add(*linear_chain({{{2, 2}, {1, 2, 1, 3}}, {{1, 2}, {1.1F, 1}}}));
  prune_now("wanda", {{"sparsity", "0.5"}, {"batches", "1"}}, net, inputs_of(inputs));
  EXPECT_EQ(mask_of(net.parameter("0.1.weight")), (std::vector<int>{0, 1}));
}

TEST(Wanda, AFailureOnTheWayLeavesTheNetworkAsItWas) {
  // The first layer is pruned before the second is found to have nothing left.
  auto wide = linear_chain({{{1, 2}, {1, 2}}, {{1, 1}, {1}}});
  const Tensor inputs = Tensor::from<float>({1, 2}, {4, 1});
  EXPECT_THROW(
      prune_now("wanda", {{"sparsity", "0.5"}, {"batches", "1"}}, *wide, inputs_of(inputs)),
      ValueError);
  EXPECT_FALSE(wide->parameter("0.weight").masked());
  expect_near(wide->parameter("0.weight").value.value(), {1, 2}, 0.0);
}

}  // namespace
}  // namespace espalier::prune
