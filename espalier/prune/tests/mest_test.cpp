// SPDX-License-Identifier: Apache-2.0
/// MEST: the card's numbers, PyTorch's training (oracles/mest.py), and the traps.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/scores/gradients.h>
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

/// Images that are the inputs of one linear layer.
PruneInputs inputs_with(const std::vector<float>& x) {
  PruneInputs inputs{.seed = 5};
  inputs.batch = [x](int64_t) {
    return data::Batch{Tensor::from<float>({1, static_cast<int64_t>(x.size())}, x),
                       Tensor::zeros({1}, DType::I64)};
  };
  return inputs;
}

std::unique_ptr<nn::Sequential> a_hundred(Tensor& mask) {
  std::vector<float> w(100);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i + 1);
  auto net = linear_chain({{{10, 10}, w}});
  mask = Tensor::zeros({10, 10}, DType::U8);
  for (int64_t i = 0; i < 10; ++i) mask.data<uint8_t>()[10 * i] = 1;
  net->parameter("0.weight").set_mask(mask);
  return net;
}

/// When it mutates in 160 epochs of ten steps.
std::vector<Moment> moments_of(const Options& given) {
  return after_the_first_mask("mest", given)
      .events.at(0)
      .moments->moments({.steps = 1600, .steps_per_epoch = 10}, Sparsity(0.9));
}

TEST(Mest, StagesAreThoseOfThePublishedCode) {
  const std::vector<Moment> hard = moments_of({});
  const std::vector<Moment> soft = moments_of({{"memory-bound", "soft"}});
  ASSERT_EQ(hard.size(), 24U);  // at the epochs 5, 10, .. 115, and 120 ends the mutation
  for (size_t k = 0; k < hard.size(); ++k) {
    const auto epoch = static_cast<double>(5 * (k + 1));
    EXPECT_EQ(hard[k].step, 50 * static_cast<int64_t>(k + 1));
    // lower 0.92, 0.91, 0.90 and upper 0.90.
    const double lower = epoch < 90 ? 0.92 : epoch < 120 ? 0.91 : 0.90;
    EXPECT_EQ(hard[k].sparsity, Sparsity(0.9));
    EXPECT_NEAR(1.0 - 0.1 * hard[k].survivors, lower, kExact);
    // lower 0.90, upper 0.88, 0.89, 0.90.
    const double upper = epoch < 90 ? 0.88 : epoch < 120 ? 0.89 : 0.90;
    EXPECT_NEAR(soft[k].sparsity.value(), upper, kExact);
    EXPECT_NEAR((1.0 - upper) * soft[k].survivors, 0.1, kExact);
  }
}

int64_t same(const Tensor& a, const Tensor& b) {
  int64_t both = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    both += a.data<uint8_t>()[i] != 0 && b.data<uint8_t>()[i] != 0 ? 1 : 0;
  }
  return both;
}

TEST(Mest, EightOfTenSurviveAndTwoGrowOrTenAndTwelve) {
  const PruneSettings settings{.sparsity = Sparsity(0.9)};
  const PruneInputs inputs = inputs_with(std::vector<float>(10, 1.0F));
  const auto pattern = make_pattern("unstructured");
  for (const bool soft : {false, true}) {
    const Options given = {{"memory-bound", soft ? "soft" : "hard"}};
    const Timeline timeline = after_the_first_mask("mest", given);
    Tensor mask;
    const auto net = a_hundred(mask);
    const Moment first = moments_of(given).at(0);
    const Subject subject{*net, nullptr, pattern, settings, inputs};
    timeline.events[0].action->update(subject, {&first, 1}, {.number = 1});
    const Tensor now = net->parameter("0.weight").mask();
    EXPECT_EQ(net->parameter("0.weight").nnz(), soft ? 12 : 10);
    EXPECT_EQ(same(mask, now), soft ? 10 : 8);
    if (!soft) continue;
    // The next update keeps the ten best of the twelve: not those that are still zero.
    const Moment second{.step = 100, .sparsity = first.sparsity, .survivors = first.survivors};
    timeline.events[0].action->update(subject, {&second, 1}, {.number = 2});
    EXPECT_EQ(net->parameter("0.weight").nnz(), 12);
    EXPECT_EQ(same(mask, net->parameter("0.weight").mask()), 10);
  }
}

TEST(WeightAndGradientScore, LetsASmallWeightWithALargeGradientStay) {
  // w = (1, 0.5), g = (0, 100), lambda 0.01: 1.0 and 1.5.
  const auto net = linear_chain({{{1, 2}, {1, 0.5F}}});
  PruneInputs inputs = inputs_with({0, 100});
  inputs.loss = [](const Variable& y, const Tensor&) { return sum(y); };
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  Rng rng(1);
  const auto score = [&](double lambda) {
    return weight_and_gradient_score(lambda, ScoringMode::Eval)
        ->compute({*net, weights, inputs, rng})[0]
        .to_vector<double>();
  };
  EXPECT_NEAR(score(0.01)[0], 1.0, kExact);
  EXPECT_NEAR(score(0.01)[1], 1.5, kExact);
  // Trap: the published code's lambda is 0 unless asked for, which is the magnitude.
  EXPECT_EQ(score(0.0), (std::vector<double>{1.0, 0.5}));
  EXPECT_EQ(weight_and_gradient_score(0.0, ScoringMode::Eval)->needs(), ScoreNeeds::Weights);
}

TEST(Mest, EndsAtTheSparsityWhateverTheBound) {
  // Trap: under the soft bound a training that ends between two updates would be too dense.
  for (const char* bound : {"hard", "soft"}) {
    const auto net = tiny_conv_net();
    nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9}, 1e-3);
    auto loader = tiny_loader();
    const auto pruner = make_pruner("mest",
                                    parse_settings(method("mest"),
                                                   {{"memory-bound", bound},
                                                    {"sparsity", "0.75"},
                                                    {"mutated", "0.5"},
                                                    {"frequency", "3"}}),
                                    {.seed = 5});
    nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {pruner.get()}, {.epochs = 5});
    const std::vector<UpdateReport>& updates = pruner->updates();
    ASSERT_EQ(updates.size(), 6U);  // the first mask, 3, 6, 9, 12 and 15
    const std::vector<double> most = bound[0] == 's'
                                         ? std::vector<double>{1, 1.5, 1.5, 1.5, 1.25, 1}
                                         : std::vector<double>(6, 1.0);
    for (size_t u = 0; u < 6; ++u) {
      for (const LayerReport& layer : updates[u].layers) {
        EXPECT_EQ(layer.kept, kept_count(layer.total, Sparsity(1.0 - 0.25 * most[u]))) << u;
      }
    }
  }
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/mest.inc>
  };
  return values;
}

TEST(MestOracle, MasksAndWeightsFollowPyTorch) {
  testing::SmallTraining training(oracle());
  Timeline timeline = after_the_first_mask("mest",
                                           {{"memory-bound", "soft"},
                                            {"mutated", "0.34"},
                                            {"lambda", "0.5"},
                                            {"half-from", "0.5"},
                                            {"frequency", "2"}});
  UpdateParts parts = *timeline.events[0].action->parts();
  parts.growth = std::make_shared<testing::DrawnGrowth>(oracle(), training.step);
  timeline.events[0].action = mask_update(parts);
  PruneInputs inputs;
  inputs.batch = [&](int64_t) { return training.batch(0); };
  EXPECT_EQ(training.run(timeline, inputs, Sparsity(0.6)), 9 + 10);
}

}  // namespace
}  // namespace espalier::prune
