// SPDX-License-Identifier: Apache-2.0
/// Dynamic sparse training (SET, RigL): the hand-worked examples of their cards, and the traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/growth/growth.h>
#include <espalier/prune/patterns/pattern.h>
#include <espalier/prune/schedules/schedule.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;

constexpr double kTolerance = 1e-7;

TEST(DynamicSchedule, FollowsTheCosine) {
  // T_end = 800: f = 0.3, then at a quarter, half and three quarters of it; no update at the end.
  const auto updates =
      dynamic_schedule({.frequency = 200, .end = 0.8})->moments({.steps = 1000}, Sparsity(0.9));
  ASSERT_EQ(updates.size(), 4U);
  const double moved[] = {0.3, 0.2560660, 0.15, 0.0439340};
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_EQ(updates[k].step, 200 * static_cast<int64_t>(k));
    EXPECT_NEAR(updates[k].moved, moved[k], kTolerance);
    EXPECT_EQ(updates[k].sparsity, Sparsity(0.9));
  }
}

TEST(DynamicSchedule, CanFollowEpochs) {
  const auto updates =
      dynamic_schedule(
          {.frequency = 0, .end = 1.0, .decay = MovedDecay::Constant, .at_first_step = false})
          ->moments({.steps = 40, .steps_per_epoch = 10}, Sparsity(0.9));
  ASSERT_EQ(updates.size(), 3U);  // not after the last epoch
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(updates[k].step, 10 * static_cast<int64_t>(k + 1));
    EXPECT_EQ(updates[k].moved, 0.3);
  }
}

TEST(DynamicSchedule, RefusesWhatCannotBe) {
  EXPECT_THROW(dynamic_schedule({.frequency = -1}), ValueError);
  EXPECT_THROW(dynamic_schedule({.fraction = 1.5}), ValueError);
}

/// One update by hand: to a density, then a part of what is left changes places.
void prune_and_move(nn::Module& net, Density kept, double moved, Score& score, Growth& regrowth) {
  const PruneSettings settings;
  const PruneInputs inputs;
  MaskUpdate update(net, make_pattern("unstructured"), settings, inputs, {});
  Rng rng(3);
  const auto scores = update.scores(score, rng);
  update.choose(scores,
                *uniform_allocation(),
                {.step = 1, .sparsity = kept.sparsity(), .moved = moved},
                {&regrowth},
                rng);
  update.commit();
}

/// The same at constant sparsity.
void move_weights(nn::Module& net, double moved, Score& score, Growth& regrowth) {
  const nn::Parameter& weight = net.parameter("0.weight");
  const double kept = static_cast<double>(weight.nnz()) / static_cast<double>(weight.numel());
  prune_and_move(net, Density(kept), moved, score, regrowth);
}

std::unique_ptr<nn::Sequential> rigl_example() {
  auto net = linear_chain({{{1, 6}, {0.5F, -0.1F, 0.3F, 0, 0, 0}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 6}, {1, 1, 1, 0, 0, 0}));
  weight.value.set_grad(
      Variable(Tensor::from<float>({1, 6}, {0.1F, 0.9F, 0.2F, 0.05F, -0.8F, 0.4F})));
  return net;
}

TEST(RigL, AJustDroppedConnectionMayReturnWithItsValue) {
  auto net = rigl_example();
  move_weights(*net, 0.34, *magnitude_score(), *gradient_growth());
  const nn::Parameter& weight = net->parameter("0.weight");
  EXPECT_EQ(mask_of(weight), (std::vector<int>{1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(weight.value.value().to_vector<float>()[1], -0.1F);
}

TEST(RigL, OrStaysOutIfAsked) {
  auto net = rigl_example();
  move_weights(*net, 0.34, *magnitude_score(), *gradient_growth(JustDropped::StaysOut));
  const nn::Parameter& weight = net->parameter("0.weight");
  EXPECT_EQ(mask_of(weight), (std::vector<int>{1, 0, 1, 0, 1, 0}));
  EXPECT_EQ(weight.value.value().to_vector<float>(), (std::vector<float>{0.5F, 0, 0.3F, 0, 0, 0}));
}

TEST(RigL, DropsNoMoreThanThereArePlaces) {
  // Trap: with fewer free places than dropped weights the layer would shrink.
  auto net = linear_chain({{{1, 6}, {1, 2, 3, 4, 5, 0}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 6}, {1, 1, 1, 1, 1, 0}));
  weight.value.set_grad(Variable(Tensor::ones({1, 6})));
  move_weights(*net, 0.8, *magnitude_score(), *gradient_growth(JustDropped::StaysOut));
  EXPECT_EQ(mask_of(weight), (std::vector<int>{0, 1, 1, 1, 1, 1}));
}

TEST(RigL, WhatTheSameUpdatePrunedIsDroppedToo) {
  // Trap: -0.1, removed by the allocation, has the largest gradient and grew again with its value.
  auto net = rigl_example();
  prune_and_move(
      *net, Density(1.0 / 3.0), 0.5, *magnitude_score(), *gradient_growth(JustDropped::StaysOut));
  const nn::Parameter& weight = net->parameter("0.weight");
  EXPECT_EQ(mask_of(weight), (std::vector<int>{1, 0, 0, 0, 1, 0}));
  EXPECT_EQ(weight.value.value().to_vector<float>(), (std::vector<float>{0.5F, 0, 0, 0, 0, 0}));
}

/// What a step looked like, seen after the backward pass and before the pruner acts.
struct Step {
  bool dense_gradient = false;  ///< anywhere at a removed place
  sparse::GradRequest request = sparse::GradRequest::Masked;
  std::vector<float> weights;
  std::vector<float> bias;
  std::vector<float> momentum;
  std::vector<int> mask;
};

class Watcher : public nn::TrainHook {
 public:
  void after_backward(nn::TrainState& state) override {
    nn::Parameter& weight = state.model.parameter("3.weight");
    const auto gradient = weight.value.grad().value().to_vector<float>();
    Step step = look(state);
    step.request = weight.grad_request;
    for (size_t i = 0; i < gradient.size(); ++i) {
      step.dense_gradient = step.dense_gradient || (step.mask[i] == 0 && gradient[i] != 0.0F);
    }
    before.push_back(step);
  }
  void after_step(nn::TrainState& state) override { after.push_back(look(state)); }

  std::vector<Step> before;
  std::vector<Step> after;

 private:
  static Step look(nn::TrainState& state) {
    Step step;
    step.mask = mask_of(state.model.parameter("3.weight"));
    step.weights = state.model.parameter("3.weight").value.value().to_vector<float>();
    step.bias = state.model.parameter("7.bias").value.value().to_vector<float>();
    step.momentum = state.optimizer.slots("3.weight").at("momentum_buffer").to_vector<float>();
    return step;
  }
};

/// 12 steps of RigL with updates at 0, 4 and 8.
std::pair<std::vector<Step>, std::vector<Step>> watched_training() {
  auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9});
  auto loader = tiny_loader();
  auto pruner = make_pruner(
      "rigl",
      parse_settings(method("rigl"), {{"sparsity", "0.5"}, {"frequency", "4"}, {"end", "1"}}));
  Watcher watcher;
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {&watcher, pruner.get()}, {.epochs = 3});
  EXPECT_EQ(pruner->updates().size(), 4U);
  return {watcher.before, watcher.after};
}

bool is_update(size_t step) {
  return step == 0 || step == 4 || step == 8;
}

TEST(RigL, AsksForDenseGradientsOnUpdateStepsAlone) {
  const auto [before, after] = watched_training();
  ASSERT_EQ(before.size(), 12U);
  for (size_t step = 0; step < 12; ++step) {
    EXPECT_EQ(before[step].dense_gradient, is_update(step)) << step;
    EXPECT_EQ(before[step].request,
              is_update(step) ? sparse::GradRequest::Dense : sparse::GradRequest::Masked);
  }
}

TEST(RigL, AnUpdateTakesThePlaceOfTheOptimizersStep) {
  const auto [before, after] = watched_training();
  for (size_t step = 0; step < 12; ++step) {
    EXPECT_EQ(before[step].bias == after[step].bias, is_update(step)) << step;
    EXPECT_EQ(before[step].mask == after[step].mask, !is_update(step)) << step;
    if (!is_update(step)) continue;
    for (size_t i = 0; i < before[step].mask.size(); ++i) {
      const bool stayed = before[step].mask[i] == 1 && after[step].mask[i] == 1;
      ASSERT_EQ(after[step].weights[i], stayed ? before[step].weights[i] : 0.0F) << step;
      ASSERT_EQ(after[step].momentum[i], stayed ? before[step].momentum[i] : 0.0F) << step;
    }
  }
}

TEST(RigL, MasksStartAtRandomWithErdosRenyiDensities) {
  // Not by magnitude: the largest weight of all is as likely to go as any.
  auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 100, .steps_per_epoch = 10};
  auto rigl = make_pruner("rigl", parse_settings(method("rigl"), {{"sparsity", "0.8"}}));
  rigl->before_training(state);
  auto other = tiny_conv_net();
  auto random = make_pruner("random", parse_settings(method("random"), {{"sparsity", "0.8"}}));
  nn::TrainState same{.model = *other, .optimizer = sgd, .total_steps = 100, .steps_per_epoch = 10};
  random->before_training(same);
  for (const char* name : {"0.weight", "3.weight", "7.weight"}) {
    EXPECT_EQ(mask_of(net->parameter(name)), mask_of(other->parameter(name))) << name;
  }
}

TEST(RigL, ShuffledItMovesAsManyWeightsButOthers) {
  // The sanity check of arXiv 2009.08576; trap: a flag that does nothing after the first mask.
  const auto moved = [](const char* ablation) {
    std::vector<float> values(64);
    for (size_t i = 0; i < values.size(); ++i) values[i] = 1.0F + static_cast<float>(i);
    auto net = linear_chain({{{1, 64}, values}});
    nn::Parameter& weight = net->parameter("0.weight");
    Tensor mask = Tensor::ones({1, 64}, DType::U8);
    for (int64_t i = 32; i < 64; ++i) mask.data<uint8_t>()[i] = 0;
    weight.set_mask(mask);
    nn::Sgd sgd(*net, {.lr = 0.1});
    nn::TrainState state{.model = *net, .optimizer = sgd, .step = 4, .total_steps = 100};
    auto rigl = make_pruner("rigl",
                            parse_settings(method("rigl"),
                                           {{"sparsity", "0.5"},
                                            {"frequency", "4"},
                                            {"moved-fraction", "0.5"},
                                            {"just-dropped", "stays-out"},
                                            {"ablation", ablation}}),
                            {.seed = 5});
    rigl->load_state({{"progress", Tensor::from<int64_t>({7}, {2, 1, 0, 0, 1, 0, 0})}});
    rigl->before_step(state);
    weight.value.set_grad(Variable(Tensor::from<float>({1, 64}, values)));
    rigl->after_backward(state);
    EXPECT_EQ(rigl->updates().size(), 1U);
    return mask_of(weight);
  };
  // 32 kept, floor(0.5 * 0.4966 * 32) = 15 of them ..: the smallest go, the largest gradients grow.
  const std::vector<int> chosen = moved("none");
  const std::vector<int> shuffled = moved("shuffle");
  const auto dropped = [](const std::vector<int>& mask) {
    return std::count(mask.begin(), mask.begin() + 32, 0);
  };
  const auto grown = [](const std::vector<int>& mask) {
    return std::count(mask.begin() + 32, mask.end(), 1);
  };
  EXPECT_EQ(dropped(chosen), 15);
  EXPECT_EQ(std::count(chosen.begin(), chosen.begin() + 15, 0), 15);
  EXPECT_EQ(std::count(chosen.end() - 15, chosen.end(), 1), 15);
  EXPECT_EQ(dropped(shuffled), 15);
  EXPECT_EQ(grown(shuffled), 15);
  EXPECT_LT(std::count(shuffled.begin(), shuffled.begin() + 15, 0), 15);
  EXPECT_LT(std::count(shuffled.end() - 15, shuffled.end(), 1), 15);
}

TEST(Set, DropsFromBothSignsWhatIsNearestToZero) {
  // zeta = 1/3: the smallest of three positive and of three negative weights.
  auto net = linear_chain({{{1, 8}, {-3, -1, -0.1F, 0.2F, 0.5F, 2, 0, 0}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 8}, {1, 1, 1, 1, 1, 1, 0, 0}));
  move_weights(*net, 1.0 / 3, *sign_quantile_score(), *random_growth());
  EXPECT_EQ(mask_of(weight), (std::vector<int>{1, 1, 0, 0, 1, 1, 1, 1}));
}

TEST(Set, EachSignLosesItsOwnFraction) {
  // By magnitude alone all three positive weights would go. Trap: a widely copied port keeps only
  // the most negative ones.
  auto net = linear_chain({{{1, 12}, {-9, -8, -7, -6, -5, -4, 0.1F, 0.2F, 0.3F, 0, 0, 0}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 12}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}));
  move_weights(*net, 1.0 / 3, *sign_quantile_score(), *random_growth());
  EXPECT_EQ(mask_of(weight), (std::vector<int>{1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1}));
}

TEST(Set, WeightsThatGrewAndStayedAtZeroGoFirst) {
  auto net = linear_chain({{{1, 6}, {-2, 0, 3, 1, 0, 0}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 6}, {1, 1, 1, 1, 0, 0}));
  move_weights(*net, 0.25, *sign_quantile_score(), *random_growth());
  EXPECT_EQ(mask_of(weight)[1], 0);
  EXPECT_EQ(weight.nnz(), 4);
}

TEST(Set, OneFreePlaceIsTakenAndCountsNeverChange) {
  auto net = linear_chain({{{1, 6}, {1, 2, 3, 4, 5, 0}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 6}, {1, 1, 1, 1, 1, 0}));
  move_weights(*net, 0.5, *sign_quantile_score(), *random_growth());
  EXPECT_EQ(mask_of(weight), (std::vector<int>{0, 1, 1, 1, 1, 1}));
  for (int update = 0; update < 100; ++update) {
    const std::vector<int> before = mask_of(weight);
    move_weights(*net, 0.3, *sign_quantile_score(), *random_growth());
    ASSERT_EQ(weight.nnz(), 5);
    ASSERT_NE(mask_of(weight), before);
  }
}

TEST(Set, ReplacesWeightsAfterEveryEpochButTheLast) {
  auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9});
  auto loader = tiny_loader();
  auto pruner = make_pruner("set", parse_settings(method("set"), {}));
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {pruner.get()}, {.epochs = 4});
  ASSERT_EQ(pruner->updates().size(), 4U);
  for (size_t u = 1; u < 4; ++u) {
    EXPECT_EQ(pruner->updates()[u].step, 4 * static_cast<int64_t>(u));
    EXPECT_GT(pruner->updates()[u].layers[1].changed, 0);
    EXPECT_EQ(pruner->updates()[u].kept(), pruner->updates()[0].kept());
  }
}

}  // namespace
}  // namespace espalier::prune
