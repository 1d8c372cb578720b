// SPDX-License-Identifier: Apache-2.0
/// LAMP: the card's example, PyTorch's scores and masks of two rounds (oracles/lamp.py), and the
/// traps.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/ground/select.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::kExact;
using testing::kHand;
using testing::linear_chain;
using testing::mask_of;

std::vector<Tensor> scores_of(nn::Module& net) {
  const std::vector<nn::NamedParameter> weights = prunable_weights(net);
  const PruneInputs inputs;
  Rng rng(1);
  return lamp_score()->compute({net, weights, inputs, rng});
}

std::vector<double> scores_of_row(const std::vector<float>& values) {
  const auto net = linear_chain({{{1, static_cast<int64_t>(values.size())}, values}});
  return scores_of(*net).at(0).to_vector<double>();
}

void prune_to(nn::Module& net, double sparsity) {
  make_pruner("lamp", parse_settings(method("lamp"), {}))->prune(net, nullptr, Sparsity(sparsity));
}

std::vector<float> random_values(int64_t count, uint64_t seed, double deviation) {
  Rng rng(seed, "test weights");
  Tensor values = Tensor::empty({count});
  fill_normal_(values, rng, 0.0, deviation);
  return values.to_vector<float>();
}

TEST(LampScore, IsTheShareAmongWeightsAtLeastAsLarge) {
  expect_near(Tensor::from<double>({3}, scores_of_row({3, -1, 2})), {1, 1.0 / 14, 4.0 / 13}, kHand);
  expect_near(Tensor::from<double>({2}, scores_of_row({0.3F, -0.1F})), {1, 0.1}, kHand);
}

TEST(LampScore, OfALargeLayersLargestWeightIsExactlyOne) {
  // Trap: total less cumulative sum leaves a rounding error there, in float32 a large one.
  const std::vector<double> scores = scores_of_row(random_values(200'000, 3, 0.01));
  EXPECT_EQ(*std::ranges::max_element(scores), 1.0);
  EXPECT_EQ(std::ranges::count(scores, 1.0), 1);
}

TEST(LampScore, GivesEqualWeightsAFixedOrder) {
  expect_near(Tensor::from<double>({4}, scores_of_row({2, -2, 2, 2})),
              {1, 1.0 / 2, 1.0 / 3, 1.0 / 4},
              kHand);
}

TEST(LampScore, CountsLivingWeightsOnlyAndZerosAsNothing) {
  const auto net = linear_chain({{{1, 5}, {3, 4, -1, 0, 2}}, {{2, 1}, {0, 0}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 5}, {1, 0, 1, 1, 1}));
  const std::vector<Tensor> scores = scores_of(*net);
  const std::vector<double> s = scores.at(0).to_vector<double>();
  EXPECT_NEAR(s[0], 1.0, kHand);  // 4 is gone
  EXPECT_NEAR(s[2], 1.0 / 14, kHand);
  EXPECT_EQ(s[3], 0.0);
  EXPECT_NEAR(s[4], 4.0 / 13, kHand);
  EXPECT_EQ(scores.at(1).to_vector<double>(), (std::vector<double>{0, 0}));
}

TEST(LampScore, DoesNotDependOnTheScaleOfALayer) {
  const std::vector<float> values = random_values(500, 4, 0.3);
  std::vector<float> scaled = values;
  for (float& value : scaled) value *= 3.7F;
  const std::vector<double> expected = scores_of_row(values);
  const std::vector<double> found = scores_of_row(scaled);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], kHand * expected[i]);
  for (float& value : scaled) value = std::ldexp(value, -20);  // exactly
  EXPECT_EQ(scores_of_row(scaled), found);
}

TEST(Lamp, EmptiesNoLayerDownToOneWeightEach) {
  const auto values = [](int64_t count, double deviation) {
    return random_values(count, 5, deviation);
  };
  const auto make = [&] {
    return linear_chain(
        {{{6, 4}, values(24, 1e-4)}, {{5, 6}, values(30, 1.0)}, {{3, 5}, values(15, 30.0)}});
  };
  const auto net = make();
  prune_to(*net, 1.0 - 3.0 / 69);
  for (const char* name : {"0.weight", "1.weight", "2.weight"}) {
    EXPECT_EQ(net->parameter(name).nnz(), 1) << name;
  }
  // By |w| the first layer would lose all.
  const auto other = make();
  EXPECT_THROW(make_pruner("magnitude", parse_settings(method("magnitude"), {}))
                   ->prune(*other, nullptr, Sparsity(0.5)),
               ValueError);
}

TEST(Lamp, KeepsTheLargestOfEachLayer) {
  const auto net = linear_chain(
      {{{10, 20}, random_values(200, 6, 0.1)}, {{10, 10}, random_values(100, 7, 1.0)}});
  const auto before = net->state_dict();
  std::map<std::string, std::vector<float>> values;
  for (const auto& [name, tensor] : before) values[name] = tensor.to_vector<float>();
  prune_to(*net, 0.7);
  int64_t kept = 0;
  for (const auto& [name, w] : values) {
    const std::vector<int> mask = mask_of(net->parameter(name));
    float least = std::numeric_limits<float>::infinity();
    float most = 0.0F;
    for (size_t i = 0; i < w.size(); ++i) {
      if (mask[i] == 1) least = std::min(least, std::abs(w[i]));
      if (mask[i] == 0) most = std::max(most, std::abs(w[i]));
    }
    EXPECT_LT(most, least) << name;
    kept += net->parameter(name).nnz();
  }
  EXPECT_EQ(kept, kept_count(300, Sparsity(0.7)));
}

TEST(Lamp, RefusesWhatIsNotANumber) {
  const auto net = linear_chain({{{1, 4}, {1, std::nanf(""), 2, 3}}});
  EXPECT_THROW(prune_to(*net, 0.5), ValueError);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/lamp.inc>
  };
  return values;
}

TEST(LampOracle, TwoRoundsScoreAndMaskAsPyTorch) {
  const auto net = linear_chain({{{5, 6}, std::vector<float>(30)},
                                 {{4, 5}, std::vector<float>(20)},
                                 {{3, 4}, std::vector<float>(12)}});
  const auto pruner = make_pruner("lamp", parse_settings(method("lamp"), {}));
  const double sparsities[] = {0.5, 0.8};
  for (const int round : {0, 1}) {
    for (const nn::NamedParameter& one : prunable_weights(*net)) {
      one.parameter->value.value().copy_(
          Tensor::from(one.parameter->shape(), oracle().at(cat(round, " ", one.name)))
              .to(DType::F32));
      one.parameter->apply_mask();
    }
    const std::vector<Tensor> scores = scores_of(*net);
    pruner->prune(*net, nullptr, Sparsity(sparsities[round]));
    size_t layer = 0;
    for (const nn::NamedParameter& one : prunable_weights(*net)) {
      expect_near(scores.at(layer++), oracle().at(cat("scores ", round, " ", one.name)), kExact);
      const std::vector<double>& mask = oracle().at(cat("mask ", round, " ", one.name));
      EXPECT_EQ(mask_of(*one.parameter), std::vector<int>(mask.begin(), mask.end())) << one.name;
    }
  }
}

}  // namespace
}  // namespace espalier::prune
