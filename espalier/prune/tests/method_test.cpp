// SPDX-License-Identifier: Apache-2.0
/// The exact examples of the methods' papers and of the survey's list of traps.
#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::tiny_mlp;

std::unique_ptr<Pruner> pruner_of(const std::string& method,
                                  const std::map<std::string, std::string>& given,
                                  const PruneInputs& inputs = {}) {
  return make_pruner(method, parse_settings(prune::method(method), given), inputs);
}

std::unique_ptr<nn::Sequential> two_layers() {
  return linear_chain({{{2, 2}, {9, 8, 7, 6}}, {{2, 2}, {1, 2, 3, 4}}});
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Magnitude, GlobalRefusesALayerWithNothingLeftAndNamesIt) {
  auto net = two_layers();
  auto pruner = pruner_of("magnitude", {{"sparsity", "0.5"}});
  const std::string text = error_of([&] { pruner->prune(*net, nullptr, Sparsity(0.5)); });
  EXPECT_NE(text.find("1.weight"), std::string::npos) << text;
  EXPECT_EQ(text.find("0.weight"), std::string::npos) << text;
  EXPECT_FALSE(net->parameter("0.weight").masked());
  EXPECT_FALSE(net->parameter("1.weight").masked());
}

TEST(Magnitude, GlobalEmptiesTheLayerWhenAllowedAndSaysSo) {
  auto net = two_layers();
  auto pruner = pruner_of("magnitude", {{"sparsity", "0.5"}, {"allow-collapse", "true"}});
  const UpdateReport report = pruner->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 1, 1, 1}));
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{0, 0, 0, 0}));
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_NE(report.notes[0].find("1.weight"), std::string::npos);
}

TEST(Magnitude, MinPerLayerKeepsTheBestAndTheTotal) {
  auto net = two_layers();
  auto pruner = pruner_of("magnitude", {{"sparsity", "0.5"}, {"min-per-layer", "1"}});
  pruner->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 1, 1, 0}));
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{0, 0, 0, 1}));
}

TEST(Magnitude, UniformKeepsTheSameFractionOfEveryLayer) {
  auto net = two_layers();
  auto pruner = pruner_of("magnitude", {{"sparsity", "0.5"}, {"allocation", "uniform"}});
  pruner->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 1, 0, 0}));
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{0, 0, 1, 1}));
}

void prune_at_quality(nn::Module& net, const std::string& quality) {
  pruner_of("magnitude", {{"allocation", "std"}, {"quality", quality}})
      ->prune(net, nullptr, Sparsity(0.9));
}

TEST(Magnitude, StdKeepsWhatIsAboveItsLayersDeviationTimesTheQuality) {
  // Of the population 1.5811: 0.6 of it is 0.949. Of a sample it would be 1.8257, and 1.095.
  auto net = linear_chain({{{1, 4}, {-2, -1, 1, 2}}});
  prune_at_quality(*net, "0.6");
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 1, 1, 1}));
  prune_at_quality(*net, "0.7");
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 0, 0, 1}));
  // Around each layer's mean, 1.118 in both; around zero it would be 7.58 and 2.74.
  auto two = two_layers();
  prune_at_quality(*two, "2");
  EXPECT_EQ(mask_of(two->parameter("0.weight")), (std::vector<int>{1, 1, 1, 1}));
  EXPECT_EQ(mask_of(two->parameter("1.weight")), (std::vector<int>{0, 0, 1, 1}));
  // What is gone does not count: 3 and 4 alone have 0.5, with two zeros 1.785.
  prune_at_quality(*two, "7");
  EXPECT_EQ(mask_of(two->parameter("1.weight")), (std::vector<int>{0, 0, 0, 1}));
}

TEST(Magnitude, DoesNotRankWhatIsAlreadyGone) {
  // Trap: "prune half" of a half pruned layer must remove half of the rest, not the same zeros.
  auto net = linear_chain({{{1, 8}, {1, -2, 3, -4, 5, -6, 7, -8}}});
  auto pruner = pruner_of("magnitude", {{"sparsity", "0.75"}});
  pruner->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 0, 0, 0, 1, 1, 1, 1}));
  pruner->prune(*net, nullptr, Sparsity(0.75));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 0, 0, 0, 0, 0, 1, 1}));
}

TEST(Magnitude, GoneWeightsStayBelowLiveZeros) {
  // Trap: with all scores zero, a threshold with >= would bring pruned weights back.
  auto net = linear_chain({{{1, 6}, {0, 0, 0, 0, 0, 0}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 6}, {0, 0, 1, 1, 1, 1}));
  pruner_of("magnitude", {})->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 0, 1, 1, 1, 0}));
}

TEST(Magnitude, SaysWhenTheModelIsSparserThanTheTarget) {
  auto net = linear_chain({{{1, 8}, {1, 2, 3, 4, 5, 6, 7, 8}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 8}, {0, 0, 0, 0, 0, 0, 1, 1}));
  auto pruner = pruner_of("magnitude", {{"allocation", "uniform"}});
  const UpdateReport report = pruner->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(report.kept(), 2);
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_NE(report.notes[0].find("only 2 units left of the 4"), std::string::npos);
}

TEST(Magnitude, DoesNotDependOnSeedOrData) {
  auto a = tiny_mlp();
  auto b = tiny_mlp();
  pruner_of("magnitude", {}, {.seed = 1})->prune(*a, nullptr, Sparsity(0.8));
  pruner_of("magnitude", {}, {.seed = 2})->prune(*b, nullptr, Sparsity(0.8));
  for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
    EXPECT_EQ(mask_of(a->parameter(name)), mask_of(b->parameter(name)));
  }
}

TEST(Magnitude, ReachesTheSparsityOverPrunableWeightsOnly) {
  auto net = tiny_mlp();
  const UpdateReport report = pruner_of("magnitude", {})->prune(*net, nullptr, Sparsity(0.9));
  const int64_t total = 192 * 24 + 24 * 12 + 12 * 3;
  EXPECT_EQ(report.total(), total);
  EXPECT_EQ(report.kept(), kept_count(total, Sparsity(0.9)));
  EXPECT_FALSE(net->parameter("1.bias").masked());
}

TEST(Prune, ExcludedLayersAreLeftAlone) {
  auto net = tiny_mlp();
  auto pruner = pruner_of("magnitude", {{"exclude", "1,5.weight"}});
  const UpdateReport report = pruner->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_FALSE(net->parameter("1.weight").masked());
  EXPECT_FALSE(net->parameter("5.weight").masked());
  EXPECT_EQ(net->parameter("3.weight").nnz(), 144);
  EXPECT_EQ(report.layers.size(), 1U);
}

TEST(Prune, AnExcludedNameThatFitsNothingIsAnError) {
  auto net = tiny_mlp();
  auto pruner = pruner_of("magnitude", {{"exclude", "fc"}});
  EXPECT_THROW(pruner->prune(*net, nullptr, Sparsity(0.5)), ValueError);
  // A prefix ends at a dot: `1` does not take layer 11.
  EXPECT_EQ(prunable_weights(*net, {"1"}).size(), 2U);
}

TEST(Prune, RefusesASparsityThatThePatternDoesNotHave) {
  EXPECT_THROW(pruner_of("magnitude", {{"pattern", "2:4"}, {"sparsity", "0.9"}}), ValueError);
  EXPECT_EQ(parse_settings(method("magnitude"), {{"pattern", "1:4"}}).sparsity, Sparsity(0.75));
  EXPECT_THROW(parse_settings(method("l1-filters"), {{"pattern", "2:4"}}), ValueError);
}

TEST(Prune, RefusesToDivideWhatThePatternFixes) {
  const std::map<std::string, std::string> given = {{"pattern", "2:4"}, {"allocation", "global"}};
  const std::string text = error_of([&] { parse_settings(method("magnitude"), given); });
  EXPECT_NE(text.find("pattern 2:4 keeps 2 of 4"), std::string::npos) << text;
}

TEST(Prune, LayersThatCannotHaveThePatternAreNamed) {
  auto net =
      linear_chain({{{4, 6}, std::vector<float>(24, 1)}, {{2, 4}, std::vector<float>(8, 1)}});
  const UpdateReport report =
      pruner_of("magnitude", {{"pattern", "2:4"}})->prune(*net, nullptr, Sparsity(0.5));
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_NE(report.notes[0].find("0.weight"), std::string::npos);
  EXPECT_FALSE(net->parameter("0.weight").masked());
  EXPECT_EQ(net->parameter("1.weight").nnz(), 4);
  EXPECT_EQ(report.total(), 32);  // dense layers count: sparsity is not flattered
}

TEST(L1Filters, SumsMagnitudesAndRemovesTheWeakest) {
  nn::Sequential net;
  net.add(nn::Flatten());
  auto& first = net.add(nn::Linear({.in = 2, .out = 3, .bias = true}));
  net.add(nn::ReLU());
  net.add(nn::Linear({.in = 3, .out = 2}));
  first.weight.value.value().copy_(Tensor::from<float>({3, 2}, {1, -2, .5F, .5F, -3, 0}));
  const PruneInputs inputs{.input_shape = {2, 1, 1}};
  const auto settings =
      parse_settings(method("l1-filters"), {{"sparsity", "0.34"}, {"layer-sparsity", ""}});
  EXPECT_EQ(raw_scores("l1-filters", net, settings, inputs).at("1.weight").to_vector<double>(),
            (std::vector<double>{3, 3, 1, 1, 3, 3}));

  pruner_of("l1-filters", {{"sparsity", "0.34"}}, inputs)->prune(net, nullptr, Sparsity(0.34));
  EXPECT_EQ(mask_of(net.parameter("1.weight")), (std::vector<int>{1, 1, 0, 0, 1, 1}));
  EXPECT_EQ(mask_of(net.parameter("1.bias")), (std::vector<int>{1, 0, 1}));
  EXPECT_EQ(mask_of(net.parameter("3.weight")), (std::vector<int>{1, 0, 1, 1, 0, 1}));
  EXPECT_FALSE(net.parameter("3.bias").masked());
}

TEST(RandomPruning, LayersKeepWhatErdosRenyiKernelGivesThem) {
  // Shares (O+I+R+S): 17, 30 and 3+1024. A fifth of 4440 weights stays, 888: 0.8268 a share.
  auto net = testing::tiny_conv_net();
  pruner_of("random", {{"allocation", "erk"}}, {.seed = 5})->prune(*net, nullptr, Sparsity(0.8));
  EXPECT_EQ(net->parameter("0.weight").nnz(), 14);   // 14.06
  EXPECT_EQ(net->parameter("3.weight").nnz(), 25);   // 24.80
  EXPECT_EQ(net->parameter("7.weight").nnz(), 849);  // 849.14
}

TEST(RandomPruning, ALayerThatErdosRenyiWouldOverfillStaysDense) {
  // Shares 216, 36 and 15 of 986 weights: the last layer of 36 would get 55. The others share 950:
  // 814.3 and 135.7.
  auto net = tiny_mlp();
  pruner_of("random", {{"allocation", "er"}}, {.seed = 5})->prune(*net, nullptr, Sparsity(0.8));
  EXPECT_EQ(net->parameter("1.weight").nnz(), 814);
  EXPECT_EQ(net->parameter("3.weight").nnz(), 136);
  EXPECT_EQ(net->parameter("5.weight").nnz(), 36);
}

TEST(RandomPruning, PositionsAreUniformOverTheInputs) {
  auto net = tiny_mlp();
  pruner_of("random", {{"allocation", "uniform"}}, {.seed = 5})
      ->prune(*net, nullptr, Sparsity(0.5));
  const std::vector<int> mask = mask_of(net->parameter("1.weight"));
  // Chi-square over the 192 input channels: mean 191, deviation sqrt(2 * 191) = 19.5; 5 deviations.
  std::vector<int> per_input(192, 0);
  for (size_t i = 0; i < mask.size(); ++i) per_input[i % 192] += mask[i];
  double chi = 0.0;
  for (int count : per_input) chi += (count - 12.0) * (count - 12.0) / (24 * 0.5 * 0.5);
  EXPECT_NEAR(chi, 191.0, 5 * 19.5);
}

TEST(RandomPruning, AnotherSeedGivesAnotherMaskOfTheSameCounts) {
  auto a = tiny_mlp();
  auto b = tiny_mlp();
  pruner_of("random", {}, {.seed = 1})->prune(*a, nullptr, Sparsity(0.8));
  pruner_of("random", {}, {.seed = 2})->prune(*b, nullptr, Sparsity(0.8));
  EXPECT_EQ(a->parameter("1.weight").nnz(), b->parameter("1.weight").nnz());
  EXPECT_NE(mask_of(a->parameter("1.weight")), mask_of(b->parameter("1.weight")));
}

TEST(RandomPruning, ExcludingALayerDoesNotMoveTheOthersMasks) {
  auto a = tiny_mlp();
  auto b = tiny_mlp();
  const std::map<std::string, std::string> uniform = {{"allocation", "uniform"}};
  pruner_of("random", uniform)->prune(*a, nullptr, Sparsity(0.8));
  pruner_of("random", {{"allocation", "uniform"}, {"exclude", "1"}})
      ->prune(*b, nullptr, Sparsity(0.8));
  EXPECT_EQ(mask_of(a->parameter("3.weight")), mask_of(b->parameter("3.weight")));
}

TEST(Ablation, ShuffleKeepsLayerCountsAndMovesPositions) {
  auto plain = tiny_mlp();
  auto shuffled = tiny_mlp();
  pruner_of("magnitude", {})->prune(*plain, nullptr, Sparsity(0.8));
  pruner_of("magnitude", {{"ablation", "shuffle"}})->prune(*shuffled, nullptr, Sparsity(0.8));
  for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
    EXPECT_EQ(plain->parameter(name).nnz(), shuffled->parameter(name).nnz());
  }
  EXPECT_NE(mask_of(plain->parameter("1.weight")), mask_of(shuffled->parameter("1.weight")));
}

TEST(Ablation, ShuffleInsideCellsKeepsThePattern) {
  auto net = linear_chain({{{8, 16}, std::vector<float>(128, 1)}});
  pruner_of("magnitude", {{"pattern", "2:4"}, {"ablation", "shuffle"}})
      ->prune(*net, nullptr, Sparsity(0.5));
  const std::vector<int> mask = mask_of(net->parameter("0.weight"));
  bool moved = false;
  for (size_t i = 0; i < mask.size(); i += 4) {
    EXPECT_EQ(mask[i] + mask[i + 1] + mask[i + 2] + mask[i + 3], 2);
    moved = moved || mask[i] == 0;  // by index alone, the first would always stay
  }
  EXPECT_TRUE(moved);
}

TEST(Ablation, InvertKeepsTheLowest) {
  auto net = linear_chain({{{1, 4}, {1, -2, 3, -4}}});
  pruner_of("magnitude", {{"ablation", "invert"}})->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 1, 0, 0}));
}

TEST(Ablation, ReinitKeepsTheMaskAndDrawsNewWeights) {
  auto net = tiny_mlp(3);
  const PruneInputs inputs{
      .fresh_model = [](uint64_t seed) -> std::unique_ptr<nn::Module> { return tiny_mlp(seed); },
      .seed = 9};
  auto plain = tiny_mlp(3);
  pruner_of("magnitude", {})->prune(*plain, nullptr, Sparsity(0.8));
  pruner_of("magnitude", {{"ablation", "reinit"}}, inputs)->prune(*net, nullptr, Sparsity(0.8));
  auto fresh = tiny_mlp(10);
  const auto values = net->parameter("1.weight").value.value().to_vector<float>();
  const auto expected = fresh->parameter("1.weight").value.value().to_vector<float>();
  const std::vector<int> mask = mask_of(net->parameter("1.weight"));
  EXPECT_EQ(mask, mask_of(plain->parameter("1.weight")));
  for (size_t i = 0; i < mask.size(); ++i) {
    EXPECT_EQ(values[i], mask[i] == 0 ? 0.0F : expected[i]);
  }
  EXPECT_THROW(pruner_of("magnitude", {{"ablation", "reinit"}}), ValueError);
}

TEST(Ablation, ReinitInTheMiddleOfATrainingForgetsTheOldWeightsMomentum) {
  const PruneInputs inputs{
      .fresh_model = [](uint64_t seed) -> std::unique_ptr<nn::Module> { return tiny_mlp(seed); }};
  auto net = tiny_mlp(3);
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  const Tensor ones = Tensor::ones(net->parameter("1.weight").shape());
  sgd.set_slots("1.weight", {{"momentum_buffer", ones}});
  pruner_of("magnitude", {{"ablation", "reinit"}}, inputs)->prune(*net, &sgd, Sparsity(0.5));
  const auto slots = sgd.slots("1.weight");
  const auto left = slots.find("momentum_buffer");
  if (left != slots.end() && left->second.defined()) {
    for (const float value : left->second.to_vector<float>()) ASSERT_EQ(value, 0.0F);
  }
}

TEST(Pruner, ClearsTheMomentumOfWhatWentAtOnce) {
  auto net = tiny_mlp();
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  const Tensor ones = Tensor::ones(net->parameter("1.weight").shape());
  sgd.set_slots("1.weight", {{"momentum_buffer", ones}});
  pruner_of("magnitude", {})->prune(*net, &sgd, Sparsity(0.5));
  EXPECT_EQ(sgd.slots("1.weight").at("momentum_buffer").to_vector<int>(),
            mask_of(net->parameter("1.weight")));
}

TEST(Pruner, AResumedOneDoesNotRepeatUpdates) {
  auto net = tiny_mlp();
  nn::Sgd sgd(*net, {.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 8};
  const std::map<std::string, std::string> options = {{"rounds", "4"}};
  auto first = pruner_of("magnitude", options);
  first->before_training(state);
  state.step = 2;
  first->before_step(state);
  ASSERT_EQ(first->updates().size(), 2U);

  auto resumed = pruner_of("magnitude", options);
  resumed->load_state(first->state());
  resumed->before_step(state);
  EXPECT_TRUE(resumed->updates().empty());
  state.step = 6;
  resumed->before_step(state);
  EXPECT_EQ(resumed->updates().size(), 2U);
  EXPECT_EQ(resumed->updates().back().target, Sparsity(0.9));
  EXPECT_THROW(resumed->load_state({}), ValueError);
}

/// Half of the kept weights change places at step 1.
class MovingSchedule : public Schedule {
 public:
  std::vector<Moment> moments(const TrainingLength&, Sparsity final) const override {
    return {{.step = 0, .sparsity = final}, {.step = 1, .sparsity = final, .moved = 0.5}};
  }
};

TEST(Growth, MovesWeightsKeepsCountsAndStartsAtZero) {
  auto net = tiny_mlp();
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  Pruner pruner("moving",
                {{at(std::make_unique<MovingSchedule>(),
                     mask_update({.score = magnitude_score(),
                                  .allocation = uniform_allocation(),
                                  .growth = random_growth()}))}},
                make_pattern("unstructured"),
                {.sparsity = Sparsity(0.8)},
                {});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 2};
  pruner.before_training(state);
  nn::Parameter& weight = net->parameter("1.weight");
  const std::vector<int> before = mask_of(weight);
  sgd.set_slots("1.weight", {{"momentum_buffer", Tensor::ones(weight.shape())}});
  state.step = 1;
  pruner.before_step(state);
  const std::vector<int> after = mask_of(weight);
  const auto values = weight.value.value().to_vector<float>();
  int64_t grown = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    if (before[i] == 0 && after[i] == 1) {
      ++grown;
      EXPECT_EQ(values[i], 0.0F);
    }
  }
  const int64_t kept = kept_count(192 * 24, Sparsity(0.8));
  EXPECT_EQ(weight.nnz(), kept);
  EXPECT_EQ(grown, kept / 2);
  EXPECT_EQ(pruner.updates().back().layers[0].changed, 2 * grown);
}

}  // namespace
}  // namespace espalier::prune
