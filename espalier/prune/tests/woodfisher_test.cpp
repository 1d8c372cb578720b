// SPDX-License-Identifier: Apache-2.0
/// WoodFisher: the card's example, PyTorch's inverses and updates of two rounds
/// (oracles/woodfisher.py), and the traps.
#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/curvature/block_fisher.h>
#include <espalier/prune/curvature/linalg/surgeon.h>
#include <espalier/prune/tests/second_order_script.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::inputs_of_script;
using testing::kExact;
using testing::kHand;
using testing::mask_of;
using testing::net_of_script;

/// F^-1 of G = [[1,0],[1,1]], damping 1, N = 2.
Tensor hand_inverse(bool reversed = false) {
  InverseFisher fisher(2, 2, 1.0, 2);
  const std::vector<std::vector<double>> gradients = {{1, 0}, {1, 1}};
  for (size_t n = 0; n < 2; ++n) fisher.add(gradients[reversed ? 1 - n : n]);
  return fisher.inverse(0);
}

TEST(WoodFisher, TheInverseIsTheHandWorkedOneInEitherOrder) {
  const std::vector<double> right = {6.0 / 11, -2.0 / 11, -2.0 / 11, 8.0 / 11};
  expect_near(hand_inverse(), right, kHand);
  expect_near(hand_inverse(true), right, kHand);
}

TEST(WoodFisher, ScoresAndUpdatesAreOfEachWeightAlone) {
  const Tensor inverse = hand_inverse();
  const std::vector<double> w = {1, 1};
  expect_near(Tensor::from<double>({2}, single_costs(inverse, w, std::vector<uint8_t>{1, 1})),
              {11.0 / 12, 11.0 / 16},
              kHand);
  std::vector<double> one = w;
  remove_alone(inverse, one, std::vector<uint8_t>{0, 1});
  expect_near(Tensor::from<double>({2}, one), {1.25, 0}, kHand);
  std::vector<double> both = w;
  remove_alone(inverse, both, std::vector<uint8_t>{1, 1});
  expect_near(Tensor::from<double>({2}, both), {0, 0}, 0.0);
}

TEST(WoodFisher, OfSeveralWeightsTheUpdatesAddUp) {
  // Trap: one after another, each on what is left, is OBS, and gives the third weight another
  // value.
  const Tensor inverse =
      Tensor::from<double>({3, 3}, {0.5, 0.25, -0.25, 0.25, 1.0, 0.5, -0.25, 0.5, 2.0});
  std::vector<double> alone = {2, -3, 1};
  remove_alone(inverse, alone, std::vector<uint8_t>{1, 1, 0});
  // 1 - 2/0.5 (-0.25) - (-3)/1 (0.5)
  expect_near(Tensor::from<double>({3}, alone), {0, 0, 3.5}, kHand);
  std::vector<double> in_turn = {2, -3, 1};
  Tensor left = inverse.clone();
  remove_weight(left, in_turn, 0);
  remove_weight(left, in_turn, 1);
  EXPECT_GT(std::abs(in_turn[2] - alone[2]), 0.1);
}

TEST(WoodFisher, WhatIsGoneCostsNothingAndStaysZero) {
  const Tensor inverse = hand_inverse();
  expect_near(
      Tensor::from<double>(
          {2}, single_costs(inverse, std::vector<double>{0, 1}, std::vector<uint8_t>{0, 1})),
      {0, 11.0 / 16},
      kHand);
  EXPECT_THROW(
      single_costs(
          Tensor::zeros({2, 2}, DType::F64), std::vector<double>{1, 1}, std::vector<uint8_t>{1, 1}),
      ValueError);
}

const testing::Written& oracle() {
  static const testing::Written values = {
#include <espalier/prune/tests/oracles/woodfisher.inc>
  };
  return values;
}

testing::Options oracle_options(const std::string& samples = "2") {
  return {{"gradients", "6"}, {"samples", samples}, {"block", "5"}, {"damping", "0.02"}};
}

TEST(WoodFisherOracle, TwoRoundsScoreRemoveAndUpdateAlike) {
  const auto net = net_of_script(oracle());
  const PruneSettings settings = parse_settings(method("woodfisher"), oracle_options());
  const auto pruner = make_pruner("woodfisher", settings, inputs_of_script(oracle()));
  for (const auto& [number, sparsity] : {std::pair{0, 0.4}, std::pair{1, 0.7}}) {
    const auto scores = raw_scores("woodfisher", *net, settings, inputs_of_script(oracle()));
    for (const char* name : {"0.weight", "2.weight"}) {
      expect_near(scores.at(name), oracle().at(cat("scores ", number, " ", name)), kExact);
    }
    pruner->prune(*net, nullptr, Sparsity(sparsity));
    for (const char* name : {"0.weight", "2.weight"}) {
      const std::vector<double>& right = oracle().at(cat("repaired ", number, " ", name));
      expect_near(net->parameter(name).value.value(), right, kExact);
      const std::vector<int> mask = mask_of(net->parameter(name));
      for (size_t i = 0; i < right.size(); ++i) EXPECT_EQ(mask[i], right[i] != 0.0) << name << i;
    }
  }
}

TEST(WoodFisherOracle, AGradientIsOfSeveralSamplesMeanLoss) {
  // Trap: squares of the samples' own gradients are another matrix.
  const auto net = net_of_script(oracle());
  const auto scores = [&](const std::string& samples) {
    return raw_scores("woodfisher",
                      *net,
                      parse_settings(method("woodfisher"), oracle_options(samples)),
                      inputs_of_script(oracle()))
        .at("0.weight")
        .to_vector<double>();
  };
  const std::vector<double> right = oracle().at("scores 0 0.weight");
  const std::vector<double> single = scores("1");
  double apart = 0.0;
  for (size_t i = 0; i < right.size(); ++i) apart = std::max(apart, std::abs(right[i] - single[i]));
  EXPECT_GT(apart, kHand);
}

TEST(WoodFisher, ADampingThatMakesUpdatesExplodeIsTold) {
  // Nine gradients e_j + e e_10: all that they leave open is the direction (-e, .., -e, 1), and
  // nine weights that are each worth a little less than the tenth ask it for w_j / e each, 9 * 0.9
  // of its size together, where one by one none would move it by more than itself.
  constexpr float kSmall = 1.0F / 64;
  std::vector<float> w(10, 0.9F * kSmall);
  w.back() = 1.0F;
  Tensor rows = Tensor::zeros({9, 10});
  for (int64_t j = 0; j < 9; ++j) {
    rows.data<float>()[10 * j + j] = 1.0F;
    rows.data<float>()[10 * j + 9] = kSmall;
  }
  PruneInputs inputs = testing::inputs_of(rows);
  inputs.single_batch = true;
  inputs.loss = [](const Variable& out, const Tensor&) {
    return sum(out) * (1.0 / static_cast<double>(out.size(0)));
  };
  for (const auto& [damping, told] : {std::pair{"1e-9", true}, {"1", false}}) {
    auto net = testing::linear_chain({{{1, 10}, w}});
    const PruneSettings settings = parse_settings(
        method("woodfisher"),
        {{"sparsity", "0.9"}, {"gradients", "9"}, {"block", "10"}, {"damping", damping}});
    const UpdateReport report =
        make_pruner("woodfisher", settings, inputs)->prune(*net, nullptr, Sparsity(0.9));
    const auto found = std::ranges::find_if(report.notes, [](const std::string& note) {
      return note.find("times its size") != std::string::npos;
    });
    EXPECT_EQ(found != report.notes.end(), told) << damping;
    const double moved = net->parameter("0.weight").value.value().to_vector<double>()[9] - 1.0;
    EXPECT_NEAR(moved, told ? 8.1 : 0.0, 0.02);
    if (told) {
      EXPECT_NE(found->find("8.1"), std::string::npos) << *found;
    }
  }
}

TEST(WoodFisher, CostsATrainedNetworkLessThanMagnitude) {
  auto net = testing::tiny_mlp();
  auto loader = testing::tiny_loader();
  nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9});
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {}, {.epochs = 20});
  const auto loss_after = [&](const std::string& name, const std::string& sparsity) {
    const auto copy = net->clone();
    std::map<std::string, std::string> given = {{"sparsity", sparsity}};
    if (name == "woodfisher") given["gradients"] = "64";
    const PruneSettings settings = parse_settings(method(name), given);
    auto own = testing::tiny_loader();
    const auto pruner = make_pruner(
        name, settings, {.batch = batches_like(*own), .batches = 4, .input_shape = {3, 8, 8}});
    pruner->prune(*copy, nullptr, settings.final());
    return nn::evaluate(*copy, *own).loss;
  };
  for (const char* sparsity : {"0.8", "0.9"}) {
    EXPECT_LT(loss_after("woodfisher", sparsity), loss_after("magnitude", sparsity)) << sparsity;
  }
}

}  // namespace
}  // namespace espalier::prune
