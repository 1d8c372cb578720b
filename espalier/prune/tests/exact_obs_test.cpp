// SPDX-License-Identifier: Apache-2.0
/// ExactOBS: a hand-worked matrix, PyTorch's brute force (oracles/exact_obs.py), and the traps.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/core/parallel.h>
#include <espalier/prune/curvature/surgery.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::hessian_of;
using testing::inputs_of;
using testing::kExact;
using testing::kHand;
using testing::mask_of;
using testing::prune_now;
using testing::quadratic_error;
using testing::random_matrix;

TEST(GreedySurgery, RemovesTheHandWorkedWeight) {
  // H^-1 = [[3/8,-1/4],[-1/4,1/2]]: 4/3 for column 0, 1 for column 1, whatever comes first.
  const Tensor h = Tensor::from<double>({2, 2}, {4, 2, 2, 3});
  const Tensor w = Tensor::from<double>({1, 2}, {1, 1});
  const Surgery one = prune_greedily(w, h, {.damping = 0.0});
  expect_near(one.weight, {1.5, 0}, kHand);
  EXPECT_EQ(one.mask.to_vector<int>(), (std::vector<int>{1, 0}));
  EXPECT_NEAR(one.loss, 1.0, kHand);
  // Both: 1/2 w^T H w.
  const Surgery both = prune_greedily(w, h, {.sparsity = Sparsity(1.0), .damping = 0.0});
  EXPECT_NEAR(both.loss, 5.5, kHand);
}

TEST(GreedySurgery, RowsGiveWhatCostsLeastNotEquallyMuch) {
  // With H = 2 I a weight costs w^2: the three lowest of both rows are all of the first.
  const Tensor h = Tensor::from<double>({3, 3}, {2, 0, 0, 0, 2, 0, 0, 0, 2});
  const Tensor w = Tensor::from<double>({2, 3}, {0.1, 0.2, 0.3, 1, 2, 3});
  const Surgery half = prune_greedily(w, h, {.damping = 0.0});
  EXPECT_EQ(half.mask.to_vector<int>(), (std::vector<int>{0, 0, 0, 1, 1, 1}));
  expect_near(half.weight, {0, 0, 0, 1, 2, 3}, kHand);  // nothing to make up for
  EXPECT_NEAR(half.loss, 0.14, kHand);
}

/// The least of the quadratic form over the mask: its gradient is zero at what stays.
void expect_best(const Surgery& found, const Tensor& w, const Tensor& h) {
  Tensor d = found.weight.clone();
  for (int64_t i = 0; i < d.numel(); ++i) d.data<double>()[i] -= w.data<double>()[i];
  Tensor gradient = Tensor::empty(d.shape(), DType::F64);
  gemm(d, h, gradient);
  for (int64_t i = 0; i < d.numel(); ++i) {
    if (found.mask.data<uint8_t>()[i] != 0) {
      EXPECT_NEAR(gradient.data<double>()[i], 0.0, kExact);
    } else {
      EXPECT_EQ(found.weight.data<double>()[i], 0.0);
    }
  }
}

TEST(GreedySurgery, WhatStaysIsTheBestForItsMaskAndTheLossIsItsError) {
  // Trap: updates of single removals summed up are not.
  const Tensor h = hessian_of(random_matrix(40, 12, 3));
  const Tensor w = random_matrix(5, 12, 4);
  for (const SurgeryOptions& options :
       {SurgeryOptions{.damping = 0.0},
        SurgeryOptions{.sparsity = Sparsity(0.8), .damping = 0.0},
        SurgeryOptions{.cell = {.keep = 2, .size = 4}, .damping = 0.0},
        SurgeryOptions{.cell = {.keep = 1, .size = 4}, .damping = 0.0}}) {
    const Surgery found = prune_greedily(w, h, options);
    expect_best(found, w, h);
    EXPECT_NEAR(found.loss, quadratic_error(found.weight, w, h), kExact);
  }
}

TEST(GreedySurgery, CostsLessThanColumnsOnAverage) {
  double greedy = 0.0;
  double columns = 0.0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Tensor h = hessian_of(random_matrix(24, 16, seed));
    const Tensor w = random_matrix(6, 16, 100 + seed);
    for (const UnitCell cell : {UnitCell{}, UnitCell{.keep = 2, .size = 4}}) {
      const SurgeryOptions options{.sparsity = Sparsity(0.6), .cell = cell};
      greedy += quadratic_error(prune_greedily(w, h, options).weight, w, h);
      columns += quadratic_error(prune_columns(w, h, options).weight, w, h);
    }
  }
  EXPECT_LT(greedy, 0.95 * columns);
}

TEST(GreedySurgery, CellsKeepTheirNumberNotTheOther) {
  // Trap: N counts the removed ones in the published code, the kept ones here.
  const Tensor h = hessian_of(random_matrix(30, 8, 5));
  const Surgery found = prune_greedily(random_matrix(6, 8, 6), h, {.cell = {.keep = 1, .size = 4}});
  const auto mask = found.mask.to_vector<int>();
  for (auto cell = mask.begin(); cell != mask.end(); cell += 4) {
    EXPECT_EQ(std::accumulate(cell, cell + 4, 0), 1);
  }
}

TEST(GreedySurgery, WhatIsGoneStaysGoneAndCounts) {
  const Tensor h = hessian_of(random_matrix(30, 8, 7));
  const Tensor w = random_matrix(3, 8, 8);
  const Surgery first = prune_greedily(w, h, {.sparsity = Sparsity(0.25)});
  const Surgery second = prune_greedily(first.weight, h, {.sparsity = Sparsity(0.5)}, first.mask);
  const auto before = first.mask.to_vector<int>();
  const auto after = second.mask.to_vector<int>();
  EXPECT_EQ(std::accumulate(after.begin(), after.end(), 0), 12);
  for (size_t i = 0; i < after.size(); ++i) EXPECT_LE(after[i], before[i]);
  // Always the cheapest next: in two steps it is what one step comes to.
  const Surgery once = prune_greedily(w, h, {.sparsity = Sparsity(0.5)});
  EXPECT_EQ(after, once.mask.to_vector<int>());
  expect_near(second.weight, once.weight.to_vector<double>(), kExact);
}

TEST(GreedySurgery, InputsThatAreAlwaysZeroLoseTheirWeights) {
  const Tensor h = Tensor::from<double>({3, 3}, {4, 0, 2, 0, 0, 0, 2, 0, 3});
  const Tensor w = Tensor::from<double>({1, 3}, {1, 100, 1});
  const Surgery found = prune_greedily(w, h, {.sparsity = Sparsity(0.3)});
  expect_near(found.weight, {1, 0, 1}, kHand);
  EXPECT_NEAR(found.loss, 0.0, kHand);
}

TEST(GreedySurgery, DoesNotDependOnThreads) {
  const Tensor h = hessian_of(random_matrix(60, 24, 9));
  const Tensor w = random_matrix(7, 24, 10);
  std::vector<double> first;
  for (const int threads : {1, 2, 5}) {
    set_num_threads(threads);
    const auto found = prune_greedily(w, h, {.sparsity = Sparsity(0.7)}).weight.to_vector<double>();
    if (first.empty()) first = found;
    EXPECT_EQ(found, first) << threads;
  }
  set_num_threads(0);
}

TEST(GreedySurgery, RefusesWhatDoesNotFit) {
  const Tensor h = Tensor::ones({2, 2}, DType::F64);
  EXPECT_THROW(prune_greedily(Tensor::ones({2, 3}, DType::F64), h, {}), ShapeError);
  EXPECT_THROW(prune_greedily(Tensor::ones({2, 2}, DType::F64), h, {.cell = {2, 4}}), ValueError);
  EXPECT_THROW(prune_greedily(Tensor::ones({2, 2}, DType::F64), h, {.damping = 0.0}), ValueError);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/exact_obs.inc>
  };
  return values;
}

TEST(ExactObsOracle, BothLayersAreThoseOfTheBruteForce) {
  for (const std::string kind : {"unstructured", "2:4"}) {
    nn::Sequential net;
    net.add(nn::Conv2d({.in_channels = 4, .out_channels = 3, .kernel = 2, .bias = false}));
    net.add(nn::ReLU());
    net.add(nn::Flatten());
    net.add(nn::Linear({.in = 12, .out = 4, .bias = false}));
    net.to(DType::F64);
    for (const auto& [name, tensor] : net.state_dict()) {
      Tensor(tensor).copy_(Tensor::from(tensor.shape(), oracle().at(name)));
    }
    testing::Options given = {{"pattern", kind}, {"batches", "1"}};
    if (kind == "unstructured") given["sparsity"] = "0.6";
    prune_now(
        "exact-obs", given, net, inputs_of(Tensor::from({9, 4, 3, 3}, oracle().at("images"))));
    for (const char* name : {"0.weight", "3.weight"}) {
      const std::vector<double>& right = oracle().at(cat(kind, " ", name));
      expect_near(net.parameter(name).value.value(), right, kExact);
      const std::vector<int> mask = mask_of(net.parameter(name));
      for (size_t i = 0; i < right.size(); ++i) EXPECT_EQ(mask[i], right[i] != 0.0) << name << i;
    }
  }
}

TEST(ExactObs, RefusesMasksThatOutputsShare) {
  EXPECT_THROW(
      make_pruner("exact-obs", parse_settings(method("exact-obs"), {{"pattern", "2:4g4"}})),
      ValueError);
}

}  // namespace
}  // namespace espalier::prune
