// SPDX-License-Identifier: Apache-2.0
/// OBS: the card's example, its formulas against dense float64 solutions, PyTorch's brute force
/// (oracles/obs.py), and the traps.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/curvature/linalg/cholesky.h>
#include <espalier/prune/curvature/linalg/surgeon.h>
#include <espalier/prune/repair/repair.h>
#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/tests/second_order_script.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::inputs_of_script;
using testing::kExact;
using testing::kHand;
using testing::linear_chain;
using testing::mask_of;
using testing::net_of_script;
using testing::random_matrix;
using testing::tiny_loader;
using testing::tiny_mlp;

const Tensor& hand_inverse() {  // of H = [[2,1],[1,2]]
  static const Tensor inverse =
      Tensor::from<double>({2, 2}, {2.0 / 3, -1.0 / 3, -1.0 / 3, 2.0 / 3});
  return inverse;
}

TEST(Surgeon, RemovesTheHandWorkedWeight) {
  std::vector<double> w = {1, 2};
  EXPECT_NEAR(saliency(hand_inverse(), w, 0), 0.75, kHand);
  EXPECT_NEAR(saliency(hand_inverse(), w, 1), 3.0, kHand);
  Tensor inverse = hand_inverse().clone();
  EXPECT_NEAR(remove_weight(inverse, w, 0), 0.75, kHand);
  EXPECT_EQ(w[0], 0.0);
  EXPECT_NEAR(w[1], 2.5, kHand);
  // The inverse of H without row and column 0 is 1/2.
  expect_near(inverse, {0, 0, 0, 0.5}, kHand);
  EXPECT_THROW(remove_weight(inverse, w, 0), ValueError);  // gone already
  // The next one pays for what it took over.
  expect_near(
      Tensor::from<double>({2}, removal_costs(hand_inverse(), {1, 2}, std::vector<uint8_t>{1, 1})),
      {0.75, 6.25},
      kHand);
}

TEST(Surgeon, OfAGroupPaysForItTogether) {
  // F^-1 of G = [[1,0],[1,1]]; both of w = (1,1): 2.25, not the sum of single ones, 1.6041667.
  const Tensor inverse = Tensor::from<double>({2, 2}, {6.0 / 11, -2.0 / 11, -2.0 / 11, 8.0 / 11});
  const std::vector<double> w = {1, 1};
  EXPECT_NEAR(saliency(inverse, w, 0) + saliency(inverse, w, 1), 1.6041667, kHand);
  for (const auto& [first, second] : {std::pair{0, 1}, std::pair{1, 0}}) {
    Tensor left = inverse.clone();
    std::vector<double> v = w;
    const double paid = remove_weight(left, v, first);
    EXPECT_NEAR(paid + remove_weight(left, v, second), 2.25, kHand);
  }
}

/// A positive definite matrix of 7 rows, and its inverse.
std::pair<Tensor, Tensor> some_hessian() {
  const Tensor x = random_matrix(12, 7, 8);
  const Tensor h = testing::hessian_of(x);
  Tensor one = Tensor::zeros({7, 7}, DType::F64);
  for (int64_t i = 0; i < 7; ++i) one.data<double>()[i * 8] = 1.0;
  return {h, solve_positive(h, one)};
}

/// The weights that are zero at `gone` and cost least, by solving for the others: H_SS v_S = (H
/// w)_S.
Tensor best_without(const Tensor& h,
                    const std::vector<double>& w,
                    const std::vector<int64_t>& gone) {
  const int64_t n = h.size(0);
  std::vector<int64_t> stay;
  for (int64_t i = 0; i < n; ++i) {
    if (std::ranges::find(gone, i) == gone.end()) stay.push_back(i);
  }
  const auto m = static_cast<int64_t>(stay.size());
  Tensor a = Tensor::empty({m, m}, DType::F64);
  Tensor b = Tensor::zeros({m, 1}, DType::F64);
  for (int64_t i = 0; i < m; ++i) {
    const double* row = h.data<double>() + stay[static_cast<size_t>(i)] * n;
    for (int64_t j = 0; j < m; ++j) a.data<double>()[i * m + j] = row[stay[static_cast<size_t>(j)]];
    for (int64_t j = 0; j < n; ++j) b.data<double>()[i] += row[j] * w[static_cast<size_t>(j)];
  }
  const Tensor solved = solve_positive(a, b);
  Tensor v = Tensor::zeros({1, n}, DType::F64);
  for (int64_t i = 0; i < m; ++i) {
    v.data<double>()[stay[static_cast<size_t>(i)]] = solved.data<double>()[i];
  }
  return v;
}

TEST(Surgeon, WhatStaysIsTheBestForWhatGoesTogether) {
  // Trap: the updates of several weights summed up as if each went alone are not.
  const auto [h, inverse] = some_hessian();
  const std::vector<double> w = {1, -2, 0.5, 3, -0.25, 1.5, -1};
  const Tensor start = Tensor::from<double>({1, 7}, w);
  for (const std::vector<int64_t>& gone : {std::vector<int64_t>{4, 2, 0}, {0, 2, 4}, {6, 1}}) {
    Tensor left = inverse.clone();
    std::vector<double> v = w;
    double paid = 0.0;
    for (const int64_t q : gone) paid += remove_weight(left, v, q);
    const Tensor best = best_without(h, w, gone);
    expect_near(best, v, kExact);
    EXPECT_NEAR(paid, testing::quadratic_error(best, start, h), kExact);
    std::vector<double> independent = w;
    for (const int64_t q : gone) {
      std::vector<double> alone = w;
      Tensor fresh = inverse.clone();
      remove_weight(fresh, alone, q);
      for (size_t i = 0; i < w.size(); ++i) independent[i] += alone[i] - w[i];
    }
    for (const int64_t q : gone) independent[static_cast<size_t>(q)] = 0.0;
    EXPECT_GT(testing::quadratic_error(Tensor::from<double>({1, 7}, independent), start, h),
              paid + kHand);
  }
}

TEST(Surgeon, CostsNoMoreThanOptimalBrainDamage) {
  const auto [h, inverse] = some_hessian();
  const std::vector<double> w = {1, -2, 0.5, 3, -0.25, 1.5, -1};
  for (int64_t q = 0; q < 7; ++q) {
    const double x = w[static_cast<size_t>(q)];
    EXPECT_LE(saliency(inverse, w, q), 0.5 * h.data<double>()[q * 8] * x * x);
  }
}

TEST(Surgeon, AlwaysRemovesTheOneThatCostsLeastNext) {
  const auto [h, inverse] = some_hessian();
  const std::vector<double> w = {1, -2, 0.5, 3, -0.25, 1.5, -1};
  const Tensor start = Tensor::from<double>({1, 7}, w);
  const std::vector<uint8_t> alive(7, 1);
  const std::vector<double> costs = removal_costs(inverse, w, alive);
  std::vector<int64_t> order(7);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int64_t q) { return costs[static_cast<size_t>(q)]; });
  std::vector<int64_t> gone;
  double paid = 0.0;
  double most = 0.0;
  for (const int64_t q : order) {
    int64_t cheapest = -1;
    double least = 0.0;
    for (int64_t i = 0; i < 7; ++i) {
      if (std::ranges::find(gone, i) != gone.end()) continue;
      std::vector<int64_t> with = gone;
      with.push_back(i);
      const double all = with.size() == 7
                             ? testing::quadratic_error(Tensor::zeros({1, 7}, DType::F64), start, h)
                             : testing::quadratic_error(best_without(h, w, with), start, h);
      if (cheapest < 0 || all < least) cheapest = i, least = all;
    }
    EXPECT_EQ(q, cheapest);
    most = std::max(most, least - paid);
    EXPECT_NEAR(costs[static_cast<size_t>(q)], most, kExact);
    paid = least;
    gone.push_back(q);
  }
  // Strictly: a block's own order decides, not the index.
  for (size_t i = 1; i < order.size(); ++i) {
    EXPECT_GT(costs[static_cast<size_t>(order[i])], costs[static_cast<size_t>(order[i - 1])]);
  }
}

const testing::Written& oracle() {
  static const testing::Written values = {
#include <espalier/prune/tests/oracles/obs.inc>
  };
  return values;
}

const std::map<std::string, std::string> kOracleOptions = {
    {"gradients", "10"}, {"block", "5"}, {"damping", "0.02"}, {"sparsity", "0.5"}};

TEST(ObsOracle, FisherBlocksAreTheSumsOfOuterProducts) {
  const auto net = net_of_script(oracle());
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  FisherBlocks fisher({.data = {.gradients = 10}, .block = 5, .damping = 0.02});
  fisher.find(*net, weights, inputs_of_script(oracle()), nullptr);
  for (size_t layer = 0; layer < 2; ++layer) {
    const InverseFisher& found = fisher.of(weights[layer].name);
    for (int64_t b = 0; b < found.blocks(); ++b) {
      const int64_t n = found.size(b);
      const std::vector<double>& right = oracle().at(cat("fisher ", layer, " ", found.begin(b)));
      Tensor one = Tensor::zeros({n, n}, DType::F64);
      for (int64_t i = 0; i < n; ++i) one.data<double>()[i * (n + 1)] = 1.0;
      expect_near(solve_positive(found.inverse(b), one), right, kExact);
    }
  }
}

TEST(ObsOracle, TheSameWeightsGoAndTheSameValuesStay) {
  const auto net = net_of_script(oracle());
  const auto pruner =
      make_pruner("obs", parse_settings(method("obs"), kOracleOptions), inputs_of_script(oracle()));
  const UpdateReport report = pruner->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(report.kept(), 18);
  for (const char* name : {"0.weight", "2.weight"}) {
    const std::vector<double>& right = oracle().at(cat("repaired ", name));
    expect_near(net->parameter(name).value.value(), right, kExact);
    const std::vector<int> mask = mask_of(net->parameter(name));
    for (size_t i = 0; i < right.size(); ++i) EXPECT_EQ(mask[i], right[i] != 0.0) << name << i;
  }
}

TEST(ObsOracle, ScoresAreWhatHadBeenPaid) {
  const auto net = net_of_script(oracle());
  const auto scores = raw_scores(
      "obs", *net, parse_settings(method("obs"), kOracleOptions), inputs_of_script(oracle()));
  std::vector<double> all;
  for (const auto& [name, tensor] : scores) {
    const auto values = tensor.to_vector<double>();
    all.insert(all.end(), values.begin(), values.end());
  }
  std::ranges::sort(all);
  double paid = 0.0;
  const std::vector<double>& costs = oracle().at("costs");
  for (size_t i = 0; i < costs.size(); ++i) {
    paid = std::max(paid, costs[i]);
    EXPECT_LE(all[i], paid + kExact);
  }
  EXPECT_NEAR(all[costs.size() - 1], paid, kExact);
}

TEST(Obs, WeightsThatAreGoneStayZeroInTheNextUpdate) {
  const auto net = net_of_script(oracle());
  const auto pruner =
      make_pruner("obs", parse_settings(method("obs"), kOracleOptions), inputs_of_script(oracle()));
  pruner->prune(*net, nullptr, Sparsity(0.4));
  const std::vector<int> before = mask_of(net->parameter("0.weight"));
  pruner->prune(*net, nullptr, Sparsity(0.7));
  const std::vector<int> after = mask_of(net->parameter("0.weight"));
  const auto values = net->parameter("0.weight").value.value().to_vector<double>();
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_LE(after[i], before[i]);
    if (after[i] == 0) {
      EXPECT_EQ(values[i], 0.0);
    }
  }
  EXPECT_LT(net->parameter("0.weight").nnz() + net->parameter("2.weight").nnz(), 12);
}

TEST(Obs, NothingHasChangedWhenItWouldCutTheNetwork) {
  const auto net = net_of_script(oracle());
  const auto before = net->parameter("2.weight").value.value().to_vector<double>();
  const auto pruner =
      make_pruner("obs", parse_settings(method("obs"), kOracleOptions), inputs_of_script(oracle()));
  EXPECT_THROW(pruner->prune(*net, nullptr, Sparsity(1.0)), ValueError);
  EXPECT_FALSE(net->parameter("2.weight").masked());
  EXPECT_EQ(net->parameter("2.weight").value.value().to_vector<double>(), before);
}

TEST(Obs, CostsATrainedNetworkLessThanMagnitude) {
  // Without fine-tuning, at four sparsities: the training loss right after the update.
  auto net = tiny_mlp();
  auto loader = tiny_loader();
  nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9});
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {}, {.epochs = 20});
  const auto loss_after = [&](const std::string& name, const std::string& sparsity) {
    const auto copy = net->clone();
    std::map<std::string, std::string> given = {{"sparsity", sparsity}};
    if (name == "obs") given["gradients"] = "64";
    const PruneSettings settings = parse_settings(method(name), given);
    auto own = tiny_loader();
    const auto pruner = make_pruner(
        name, settings, {.batch = batches_like(*own), .batches = 4, .input_shape = {3, 8, 8}});
    pruner->prune(*copy, nullptr, settings.final());
    return nn::evaluate(*copy, *own).loss;
  };
  for (const char* sparsity : {"0.6", "0.8", "0.9", "0.95"}) {
    EXPECT_LT(loss_after("obs", sparsity), loss_after("magnitude", sparsity)) << sparsity;
  }
}

TEST(SurgeonRepair, RefusesChannelsAndUpdatesThatCannotFollow) {
  const auto fisher = std::make_shared<FisherBlocks>(FisherBlockOptions{});
  EXPECT_FALSE(surgeon_repair(fisher)->refusal(*make_pattern("channel")).empty());
  EXPECT_TRUE(surgeon_repair(fisher)->refusal(*make_pattern("4x1")).empty());
  // It follows a score's choice; without one there is none.
  EXPECT_THROW(mask_update({.allocation = global_allocation(), .repair = surgeon_repair(fisher)}),
               ValueError);
  EXPECT_THROW(mask_update({.score = surgeon_score(fisher),
                            .allocation = global_allocation(),
                            .effect = Effect::Zero,
                            .repair = surgeon_repair(fisher)}),
               ValueError);
}

}  // namespace
}  // namespace espalier::prune
