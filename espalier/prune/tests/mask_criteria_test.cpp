// SPDX-License-Identifier: Apache-2.0
/// Mask criteria: hand-worked scores, PyTorch's masks (oracles/mask_criteria.py), and what rounds
/// start from.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/prune/scores/mask_criteria.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::linear_chain;
using testing::mask_of;
using testing::Options;

void set(nn::Module& net, const std::vector<double>& values) {
  nn::Parameter& weight = net.parameter("0.weight");
  weight.value.value().copy_(Tensor::from(weight.shape(), values).to(weight.value.dtype()));
}

/// The score of weights that were `first` and are `last`.
Tensor score_of(MaskCriterion criterion,
                const std::vector<double>& first,
                const std::vector<double>& last) {
  auto net =
      linear_chain({{{1, static_cast<int64_t>(first.size())}, std::vector<float>(first.size())}});
  net->to(DType::F64);
  nn::Sgd sgd(*net, {.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd};
  const auto score = mask_criterion_score(criterion);
  set(*net, first);
  score->observe(state);
  set(*net, last);
  score->observe(state);  // the first counts
  const PruneInputs inputs;
  Rng rng(1);
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  return score->compute({*net, weights, inputs, rng}).at(0);
}

TEST(MaskCriteria, ScoreByFirstAndLastValues) {
  const std::vector<double> v = {1, -2, 0.5, -1};
  const std::vector<double> w = {-3, -1, 2, -3};
  const auto expect = [&](MaskCriterion criterion, const std::vector<double>& expected) {
    expect_near(score_of(criterion, v, w), expected, 1e-12);
  };
  expect(MaskCriterion::LargeFinal, {3, 1, 2, 3});
  expect(MaskCriterion::SmallFinal, {-3, -1, -2, -3});
  expect(MaskCriterion::LargeInit, {1, 2, 0.5, 1});
  expect(MaskCriterion::LargeInitLargeFinal, {1, 0.5, 0.5, 1});  // a = 4.5 / 9
  expect(MaskCriterion::MagnitudeIncrease, {2, -1, 1.5, 2});
  expect(MaskCriterion::Movement, {4, 1, 1.5, 2});
  expect(MaskCriterion::LargeFinalSameSign, {0, 1, 2, 3});
}

TEST(MaskCriteria, NeedToHaveSeenTheBeginning) {
  auto net = linear_chain({{{1, 2}, {1, 2}}});
  auto pruner = make_pruner("mask-criteria",
                            parse_settings(method("mask-criteria"), {{"criterion", "movement"}}));
  EXPECT_THROW(pruner->prune(*net, nullptr, Sparsity(0.5)), ValueError);
}

class AtTheStart : public nn::TrainHook {
 public:
  void before_step(nn::TrainState& state) override {
    if (state.step == 0) rounds.push_back(state.model.clone());
  }
  std::vector<std::unique_ptr<nn::Module>> rounds;
};

TEST(MaskCriteria, RoundsStartFromWhatIsAskedFor) {
  const auto start = [](const std::string& survivors) {
    auto net = testing::tiny_mlp();
    auto hook = make_pruner(
        "mask-criteria",
        parse_settings(method("mask-criteria"),
                       {{"sparsity", "0.5"}, {"rounds", "1"}, {"survivors", survivors}}),
        {.seed = 4});
    nn::Sgd sgd(*net, {.lr = 0.05});
    auto loader = testing::tiny_loader();
    AtTheStart watch;
    nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {hook.get(), &watch}, {.epochs = 1});
    EXPECT_EQ(watch.rounds.size(), 2U);
    return std::move(watch.rounds.back());
  };
  auto first = testing::tiny_mlp();
  const std::vector<float> v = first->parameter("3.weight").value.value().to_vector<float>();
  double square = 0.0;
  double mean = 0.0;
  for (float x : v) mean += x / static_cast<double>(v.size());
  for (float x : v) square += (x - mean) * (x - mean) / static_cast<double>(v.size());
  for (const std::string survivors : {"rewound", "constant-signs", "final"}) {
    const auto net = start(survivors);
    const std::vector<float> w = net->parameter("3.weight").value.value().to_vector<float>();
    const std::vector<int> mask = mask_of(net->parameter("3.weight"));
    for (size_t i = 0; i < v.size(); ++i) {
      if (mask[i] == 0) {
        EXPECT_EQ(w[i], 0.0F);
      } else if (survivors == "rewound") {
        EXPECT_EQ(w[i], v[i]);
      } else if (survivors == "constant-signs") {
        EXPECT_NEAR(w[i], std::copysign(std::sqrt(square), v[i]), 1e-6);
      }
    }
    if (survivors == "final") {
      EXPECT_NE(w[std::ranges::find(mask, 1) - mask.begin()],
                v[std::ranges::find(mask, 1) - mask.begin()]);
    }
  }
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/mask_criteria.inc>
  };
  return values;
}

TEST(MaskCriteriaOracle, MasksAreThoseOfPyTorch) {
  for (const std::string criterion : {"large-final",
                                      "small-final",
                                      "large-init",
                                      "large-init-large-final",
                                      "magnitude-increase",
                                      "movement",
                                      "large-final-same-sign"}) {
    auto net = linear_chain({{{5, 8}, std::vector<float>(40)}});
    net->to(DType::F64);
    set(*net, oracle().at("first"));
    auto hook = make_pruner(
        "mask-criteria",
        parse_settings(method("mask-criteria"),
                       {{"sparsity", "0.7"}, {"rounds", "1"}, {"criterion", criterion}}));
    nn::Sgd sgd(*net, {.lr = 0.1});
    nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
    hook->before_training(state);
    hook->before_step(state);
    hook->after_backward(state);
    set(*net, oracle().at("last"));
    hook->prune(*net, nullptr, Sparsity(0.7));
    const std::vector<double>& mask = oracle().at(criterion);
    EXPECT_EQ(mask_of(net->parameter("0.weight")), std::vector<int>(mask.begin(), mask.end()))
        << criterion;
  }
}

}  // namespace
}  // namespace espalier::prune
