// SPDX-License-Identifier: Apache-2.0
/// OBD: the card's example, PyTorch's diagonals (oracles/obd.py), and the traps.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/scores/damage.h>
#include <espalier/prune/tests/second_order_script.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::inputs_of_script;
using testing::kExact;
using testing::kHand;
using testing::linear_chain;
using testing::mask_of;
using testing::net_of_script;

/// 1/2 (w - a)^T H (w - a) of one row of weights w, H = X^T X, a given by its answers X a.
PruneInputs quadratic(const Tensor& x, const std::vector<float>& answers) {
  PruneInputs inputs = testing::inputs_of(x);
  const Tensor target = Tensor::from<float>({x.size(0), 1}, answers);
  inputs.loss = [target](const Variable& out, const Tensor&) {
    const Variable error = sub(out, Variable(target));
    return mul(sum(mul(error, error)), 0.5);
  };
  return inputs;
}

std::vector<double> damage(nn::Module& net,
                           const PruneInputs& inputs,
                           const DamageOptions& options,
                           uint64_t seed = 1,
                           std::vector<std::string>* notes = nullptr) {
  const std::vector<nn::NamedParameter> weights = prunable_weights(net);
  Rng rng(seed);
  return damage_score(options)
      ->compute({net, weights, inputs, rng, notes})
      .at(0)
      .to_vector<double>();
}

constexpr DamageOptions kExactHessian = {.diagonal = Diagonal::Hessian, .draws = 0};

TEST(DamageScore, IsHalfOfCurvatureTimesSquare) {
  // H = [[2,1],[1,2]], w = (1,2): (1,4).
  const auto net = linear_chain({{{1, 2}, {1, 2}}});
  const PruneInputs inputs = quadratic(Tensor::from<float>({3, 2}, {1, 1, 1, 0, 0, 1}), {0, 0, 0});
  expect_near(Tensor::from<double>({2}, damage(*net, inputs, kExactHessian)), {1, 4}, kHand);
}

TEST(DamageScore, IsWhatTheLossRisesByAtTheMinimumOfADiagonalForm) {
  // Orthogonal inputs, H = diag(4, 9, 1/4), at w = a: the loss is 0 there.
  const auto net = linear_chain({{{1, 3}, {1, -2, 3}}});
  const PruneInputs inputs =
      quadratic(Tensor::from<float>({3, 3}, {2, 0, 0, 0, 3, 0, 0, 0, 0.5F}), {2, -6, 1.5F});
  const std::vector<double> scores = damage(*net, inputs, kExactHessian);
  for (size_t q = 0; q < 3; ++q) {
    const auto without = net->clone();
    without->parameter("0.weight").value.value().data<float>()[q] = 0.0F;
    const data::Batch batch = inputs.batch(0);
    const double loss = inputs.loss((*without)(Variable(batch.images)), batch.labels).item();
    EXPECT_NEAR(scores[q], loss, kHand);
  }
  // Signs drop out of v * H v when H is diagonal: one draw is exact.
  expect_near(Tensor::from<double>({3}, scores),
              damage(*net, inputs, {.diagonal = Diagonal::Hessian, .draws = 1}),
              kHand);
}

TEST(DamageScore, EstimatesBelowZeroAreNotTheFirstToGo) {
  // Trap: H = [[2,c],[c,6]], c = 1 + sqrt 5; unequal signs give 2 - c < 0.
  const auto net = linear_chain({{{1, 2}, {2, 2}}});
  const PruneInputs inputs =
      quadratic(Tensor::from<float>({2, 2}, {1, 1, 1, std::sqrt(5.0F)}), {0, 0});
  const float offset = 1.0F + std::sqrt(5.0F);
  const DamageOptions one{.diagonal = Diagonal::Hessian, .draws = 1};
  bool unequal = false;
  for (uint64_t seed = 1; seed < 20; ++seed) {
    const std::vector<double> scores = damage(*net, inputs, one, seed);
    const bool equal = std::abs(scores[0] - 2.0 * (2.0 + offset)) < 1e-5;
    if (!equal) {
      EXPECT_NEAR(scores[0], 2.0 * std::abs(2.0 - offset), 1e-5);
      unequal = true;
    }
    EXPECT_GT(scores[0], 0.0);
    EXPECT_GT(scores[1], 0.0);
  }
  EXPECT_TRUE(unequal);
}

/// Logits of two classes that are equal for every sample: p = 1/2.
std::unique_ptr<nn::Sequential> undecided() {
  return linear_chain({{{2, 2}, {0.5F, -1, 0.5F, -1}}});
}

TEST(DamageScore, SquaresBeforeTheMeanOverSamples) {
  // Trap: the two samples' gradients are opposite, so that the batch's is zero.
  const auto net = undecided();
  PruneInputs inputs = testing::inputs_of(Tensor::from<float>({2, 2}, {1, 2, 1, 2}));
  inputs.batch = [images = inputs.batch(0).images](int64_t) {
    return data::Batch{images, Tensor::from<int64_t>({2}, {0, 1})};
  };
  inputs.single_batch = true;
  const std::vector<double> scores =
      damage(*net, inputs, {.diagonal = Diagonal::Fisher, .gradients = 2});
  // g = -+ x / 2: h = (1/4, 1), w^2 = (1/4, 1).
  expect_near(Tensor::from<double>({4}, scores), {1.0 / 32, 0.5, 1.0 / 32, 0.5}, kHand);
}

TEST(DamageScore, GaussNewtonDoesNotLookAtTheLabels) {
  // Trap: with the labels of the data a network that is sure of them has no curvature at all.
  const auto scores = [&](const Tensor& labels, Diagonal diagonal) {
    const auto net = linear_chain({{{2, 2}, {0.75F, 0.25F, -0.75F, -0.25F}}});
    PruneInputs inputs = testing::inputs_of(Tensor::ones({4, 2}));
    inputs.batch = [labels](int64_t) { return data::Batch{Tensor::ones({4, 2}), labels}; };
    return damage(*net, inputs, {.diagonal = diagonal, .gradients = 4000});
  };
  const Tensor zeros = Tensor::zeros({4}, DType::I64);
  const Tensor ones = Tensor::ones({4}, DType::I64);
  const std::vector<double> drawn = scores(zeros, Diagonal::GaussNewton);
  EXPECT_EQ(drawn, scores(ones, Diagonal::GaussNewton));
  EXPECT_NE(scores(zeros, Diagonal::Fisher), scores(ones, Diagonal::Fisher));
  // h = p (1 - p) with p = softmax(2), within three deviations of 4000 draws.
  const double p = 1.0 / (1.0 + std::exp(-2.0));
  const double spread = (2.0 * p - 1.0) * std::sqrt(p * (1.0 - p));
  const double half_square = 0.5 * 0.75 * 0.75;
  EXPECT_NEAR(
      drawn[0], half_square * p * (1.0 - p), half_square * 3.0 * spread / std::sqrt(4000.0));
}

TEST(DamageScore, TellsWhenThereAreFewerSamples) {
  const auto net = undecided();
  PruneInputs inputs = testing::inputs_of(Tensor::ones({3, 2}));
  inputs.single_batch = true;
  std::vector<std::string> notes;
  damage(*net, inputs, {.gradients = 50}, 1, &notes);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("the samples gave 3"), std::string::npos) << notes[0];
}

const testing::Written& oracle() {
  static const testing::Written values = {
#include <espalier/prune/tests/oracles/obd.inc>
  };
  return values;
}

std::map<std::string, Tensor> oracle_scores(const testing::Options& given, bool single = true) {
  return raw_scores("obd",
                    *net_of_script(oracle()),
                    parse_settings(method("obd"), given),
                    inputs_of_script(oracle(), single));
}

TEST(ObdOracle, DiagonalsAreAutograds) {
  const auto hessian = oracle_scores({{"diagonal", "hessian"}, {"draws", "0"}});
  const auto fisher = oracle_scores({{"diagonal", "fisher"}, {"gradients", "10"}});
  for (const char* name : {"0.weight", "2.weight"}) {
    expect_near(hessian.at(name), oracle().at(cat("hessian ", name)), kExact);
    expect_near(fisher.at(name), oracle().at(cat("fisher ", name)), kExact);
  }
}

TEST(ObdOracle, GaussNewtonsIsTheHessiansWhereActivationsArePiecewiseLinear) {
  for (const char* name : {"0.weight", "2.weight"}) {
    const std::vector<double>& exact = oracle().at(cat("gauss-newton ", name));
    expect_near(Tensor::from<double>({static_cast<int64_t>(exact.size())}, exact),
                oracle().at(cat("hessian ", name)),
                kExact);
  }
}

TEST(ObdOracle, DrawsComeNearThemInTheMean) {
  constexpr double kOfScore = 0.1;
  constexpr double kOfMean = 0.3;  // of the layer's mean score
  const auto drawn = oracle_scores({{"gradients", "20000"}}, false);
  const auto signs = oracle_scores({{"diagonal", "hessian"}, {"draws", "20000"}});
  for (const char* name : {"0.weight", "2.weight"}) {
    const std::vector<double>& right = oracle().at(cat("gauss-newton ", name));
    double mean = 0.0;
    for (const double score : right) mean += score / static_cast<double>(right.size());
    for (size_t i = 0; i < right.size(); ++i) {
      const double labels = drawn.at(name).to_vector<double>()[i];
      EXPECT_NEAR(labels, right[i], kOfScore * (right[i] + mean)) << name << i;
      const double vectors = signs.at(name).to_vector<double>()[i];
      EXPECT_NEAR(vectors, right[i], kOfScore * right[i] + kOfMean * mean) << name << i;
    }
  }
}

TEST(ObdOracle, TheSameWeightsGo) {
  const auto net = net_of_script(oracle());
  const auto before = net->parameter("0.weight").value.value().to_vector<double>();
  make_pruner("obd",
              parse_settings(method("obd"), {{"diagonal", "hessian"}, {"draws", "0"}}),
              inputs_of_script(oracle()))
      ->prune(*net, nullptr, Sparsity(0.5));
  for (const char* name : {"0.weight", "2.weight"}) {
    const std::vector<double>& right = oracle().at(cat("mask ", name));
    EXPECT_EQ(mask_of(net->parameter(name)), std::vector<int>(right.begin(), right.end())) << name;
  }
  // What stays is as it was: OBD makes up for nothing.
  const auto after = net->parameter("0.weight").value.value().to_vector<double>();
  for (size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(after[i] == before[i] || after[i] == 0.0);
}

}  // namespace
}  // namespace espalier::prune
