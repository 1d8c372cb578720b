// SPDX-License-Identifier: Apache-2.0
/// Dynamic sparse reparameterization: the card's numbers, PyTorch's training (oracles/dsr.py), and
/// the traps.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using testing::after_the_first_mask;
using testing::kExact;
using testing::linear_chain;
using testing::mask_of;
using testing::Options;
using testing::tiny_conv_net;
using testing::tiny_loader;

/// The threshold after an update in which `below` of 1000 living weights are smaller than 1.
double threshold_after(int64_t below) {
  std::vector<float> w(1010, 2.0F);
  std::fill_n(w.begin(), below, 0.5F);
  const auto net = linear_chain({{{1, 1010}, w}});
  Tensor mask = Tensor::ones({1, 1010}, DType::U8);
  std::fill_n(mask.data<uint8_t>() + 1000, 10, uint8_t{0});  // zeros that are gone do not count
  net->parameter("0.weight").set_mask(mask);
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  const PruneInputs inputs;
  Rng rng(1);
  const auto score = adaptive_threshold_score(0.1, 1.0);
  const auto scores = score->compute({*net, weights, inputs, rng})[0].to_vector<double>();
  for (int64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(scores[static_cast<size_t>(i)] > 0.0, i >= below);
  }
  return score->state().at("threshold").item();
}

TEST(AdaptiveThreshold, FollowsTheNumberAsOnTheCard) {
  EXPECT_EQ(threshold_after(120), 0.5);
  EXPECT_EQ(threshold_after(105), 1.0);
  EXPECT_EQ(threshold_after(80), 2.0);
  EXPECT_EQ(threshold_after(110), 1.0);  // a tenth away is near enough
  EXPECT_EQ(threshold_after(90), 1.0);
}

TEST(AdaptiveThreshold, RemembersThroughItsState) {
  const auto score = adaptive_threshold_score(0.1, 0.25);
  const auto other = adaptive_threshold_score(0.1, 1.0);
  other->load_state(score->state());
  EXPECT_EQ(other->state().at("threshold").item(), 0.25);
  EXPECT_THROW(other->load_state({}), ValueError);
  EXPECT_THROW(adaptive_threshold_score(0.1, 0.0), ValueError);
}

TEST(Dsr, SurvivorsShareWhatGrowsAsOnTheCard) {
  // 30 and 10 survive, 8 died: 6 and 2 grow.
  std::vector<uint8_t> first(60, 0);
  std::vector<uint8_t> second(60, 0);
  std::fill_n(first.begin(), 30, uint8_t{1});
  std::fill_n(second.begin(), 10, uint8_t{1});
  std::vector<SiteScores> layers(2);
  layers[0].units = layers[1].units = 60;
  layers[0].alive = first;
  layers[0].places = 26;
  layers[1].alive = second;
  layers[1].places = 46;
  EXPECT_EQ(regrowth_allocation(GrowthShare::Survivors)->keep(layers, Sparsity(0.6)),
            (std::vector<int64_t>{36, 12}));
}

TEST(Dsr, UpdatesBecomeRarerAsInThePublishedCode) {
  // 200 epochs of 400 steps: 100 steps apart, 200 from epoch 25, 400 from 80, 800 from 140 to 190.
  const auto moments = after_the_first_mask("dsr", {}).events.at(0).moments->moments(
      {.steps = 80'000, .steps_per_epoch = 400}, Sparsity(0.9));
  ASSERT_EQ(moments.front().step, 100);
  for (size_t k = 1; k < moments.size(); ++k) {
    const int64_t before = moments[k - 1].step;
    const int64_t epoch = before / 400;
    EXPECT_EQ(moments[k].step - before,
              epoch < 25    ? 100
              : epoch < 80  ? 200
              : epoch < 140 ? 400
                            : 800);
  }
  EXPECT_EQ(moments.size(), 100U + 110U + 60U + 24U);
  EXPECT_LT(moments.back().step, 190 * 400);
}

UpdateReport update_once(nn::Module& net,
                         double first_threshold,
                         double sparsity,
                         int64_t least = 0) {
  const auto update = mask_update({.score = adaptive_threshold_score(0.1, first_threshold),
                                   .allocation = threshold_allocation(0.0),
                                   .growth = random_growth(),
                                   .growth_allocation = regrowth_allocation(GrowthShare::Survivors),
                                   .min_per_layer = least});
  const PruneSettings settings;
  const PruneInputs inputs;
  const auto pattern = make_pattern("unstructured");
  const Moment moment{.sparsity = Sparsity(sparsity)};
  return update->update({net, nullptr, pattern, settings, inputs}, {&moment, 1}, {});
}

TEST(Dsr, WhatJustDiedDoesNotGrowAndALayerKeepsOne) {
  // Trap: all of the first layer are below 1; its largest stays, and what died may not return.
  const auto net = linear_chain({{{1, 4}, {0.2F, 0.9F, 0, 0}}, {{4, 1}, {5, 5, 0, 0}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 4}, {1, 1, 0, 0}));
  net->parameter("1.weight").set_mask(Tensor::from<uint8_t>({4, 1}, {1, 1, 0, 0}));
  const UpdateReport report = update_once(*net, 1.0, 0.5, 1);
  EXPECT_EQ(report.kept(), 4);
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 1, 0, 0}));
  EXPECT_EQ(net->parameter("1.weight").nnz(), 3);
}

TEST(Dsr, AFreshWeightDiesIfItIsStillZero) {
  // Trap: H must stay below what a step moves a weight by, or what grew never lives.
  const auto net = linear_chain({{{1, 6}, {5, 5, 5, 0, 0, 0}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 6}, {1, 1, 1, 1, 0, 0}));
  update_once(*net, 1e-3, 1.0 / 3.0);
  const std::vector<int> mask = mask_of(net->parameter("0.weight"));
  EXPECT_EQ(mask[3], 0);
  EXPECT_EQ(mask[4] + mask[5], 1);
}

TEST(Dsr, TheNumberIsTheSameAfterAThousandUpdates) {
  // Trap: layers' numbers move, the total must not.
  const auto net =
      linear_chain({{{20, 30}, std::vector<float>(600)}, {{10, 20}, std::vector<float>(200)}});
  testing::randomize(*net, 5);
  nn::Sgd sgd(*net, {.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 1100};
  const auto pruner = make_pruner("dsr",
                                  parse_settings(method("dsr"),
                                                 {{"sparsity", "0.8"},
                                                  {"frequency", "1"},
                                                  {"equally-often", "true"},
                                                  {"first-threshold", "0.05"}}),
                                  {.seed = 3});
  pruner->before_training(state);
  std::vector<int64_t> of_first = {net->parameter("0.weight").nnz()};
  for (state.step = 0; state.step < 1001;) {
    pruner->before_step(state);
    ASSERT_EQ(net->parameter("0.weight").nnz() + net->parameter("1.weight").nnz(), 160)
        << state.step;
    of_first.push_back(net->parameter("0.weight").nnz());
    for (const nn::NamedParameter& one : net->named_parameters()) {
      Rng rng = Rng(1, one.name).fork(static_cast<uint64_t>(state.step));
      Tensor noise = Tensor::empty(one.parameter->shape());
      fill_normal_(noise, rng, 0.0, 0.3);
      one.parameter->value.set_grad(Variable(noise));
    }
    sgd.step();
    ++state.step;
    pruner->after_step(state);
  }
  EXPECT_EQ(pruner->updates().size(), 1001U);
  const auto [least, most] = std::ranges::minmax(of_first);
  EXPECT_GT(most - least, 20);
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/dsr.inc>
  };
  return values;
}

TEST(DsrOracle, MasksThresholdsAndWeightsFollowPyTorch) {
  testing::SmallTraining training(oracle());
  Timeline timeline = after_the_first_mask(
      "dsr", {{"first-threshold", "0.02"}, {"frequency", "2"}, {"end", "0.95"}});
  UpdateParts parts = *timeline.events[0].action->parts();
  parts.growth = std::make_shared<testing::DrawnGrowth>(oracle(), training.step);
  timeline.events[0].action = mask_update(parts);
  int thresholds = 0;
  const int compared = training.run(timeline, {}, Sparsity(0.4), [&](Pruner& pruner) {
    const auto right = oracle().find(cat("threshold ", training.step));
    if (right == oracle().end()) return;
    EXPECT_EQ(pruner.state().at("event.0.threshold").item(), right->second[0]);
    ++thresholds;
  });
  EXPECT_EQ(thresholds, 5);
  EXPECT_EQ(compared, thresholds + 10);
}

}  // namespace
}  // namespace espalier::prune
