// SPDX-License-Identifier: Apache-2.0
/// SparseGPT on hand-worked and on random matrices, and on small networks.
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/core/parallel.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/curvature/surgery.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::hessian_of;
using testing::inputs_of;
using testing::kExact;
using testing::kHand;
using testing::linear_chain;
using testing::mask_of;
using testing::Options;
using testing::prune_now;
using testing::quadratic_error;
using testing::random_matrix;

const Tensor kHessian = Tensor::from<double>({2, 2}, {4, 2, 2, 3});
const Tensor kOnes = Tensor::from<double>({1, 2}, {1, 1});

TEST(SparseGpt, TheCardsMatrixLosesItsFirstColumnAndTheSecondMakesUp) {
  // Scores are 8/3 and 3. With the diagonal of the inverse instead of U they would be 8/3 and 2.
  const Surgery s = prune_columns(kOnes, kHessian, {.damping = 0.0});
  EXPECT_EQ(s.mask.to_vector<int>(), (std::vector<int>{0, 1}));
  expect_near(s.weight, {0, 5.0 / 3.0}, kExact);
  EXPECT_NEAR(s.loss, 4.0 / 3.0, kExact);
  EXPECT_NEAR(quadratic_error(kOnes, s.weight, kHessian), s.loss, kExact);
}

TEST(SparseGpt, ALastColumnHasNobodyToMakeUpForIt) {
  const Tensor mask = Tensor::from<uint8_t>({1, 2}, {1, 0});
  const Surgery s = prune_columns(kOnes, kHessian, {.damping = 0.0}, {}, mask);
  expect_near(s.weight, {1, 0}, kExact);
  EXPECT_NEAR(s.loss, 1.5, kExact);
}

TEST(SparseGpt, DampingIsAShareOfTheMeanDiagonal) {
  // H becomes ((4.35, 2), (2, 3.35)); the second weight grows by 2 / 3.35.
  const Tensor mask = Tensor::from<uint8_t>({1, 2}, {0, 1});
  const Surgery s = prune_columns(kOnes, kHessian, {.damping = 0.1}, {}, mask);
  expect_near(s.weight, {0, 1 + 2 / 3.35}, kExact);
}

TEST(SparseGpt, LazyUpdatesChangeNothing) {
  const Tensor w = random_matrix(9, 20, 1);
  const Tensor h = hessian_of(random_matrix(60, 20, 2));
  Tensor mask = Tensor::ones({9, 20}, DType::U8);
  Rng rng(3, "test mask");
  for (int64_t i = 0; i < mask.numel(); ++i) mask.data<uint8_t>()[i] = rng.below(2) == 0 ? 1 : 0;
  const Surgery whole = prune_columns(w, h, {.block = 20}, {}, mask);
  for (int64_t block : {1, 2, 7, 128}) {
    const Surgery s = prune_columns(w, h, {.block = block}, {}, mask);
    expect_near(s.weight, whole.weight.to_vector<double>(), kExact);
    EXPECT_NEAR(s.loss, whole.loss, kExact);
  }
}

TEST(SparseGpt, TheReportedLossIsTheErrorOfTheOutputs) {
  const Tensor w = random_matrix(6, 24, 4);
  const Tensor h = hessian_of(random_matrix(80, 24, 5));
  for (const UnitCell cell : {UnitCell{}, UnitCell{.keep = 2, .size = 4}}) {
    const Surgery s = prune_columns(w, h, {.cell = cell, .damping = 0.0, .block = 8});
    EXPECT_NEAR(s.loss, quadratic_error(w, s.weight, h), kExact * s.loss);
  }
}

TEST(SparseGpt, WithUncorrelatedEqualInputsItIsMagnitudeByBlock) {
  const Tensor w = random_matrix(5, 12, 6);
  Tensor h = Tensor::zeros({12, 12}, DType::F64);
  for (int64_t i = 0; i < 12; ++i) h.data<double>()[i * 13] = 3.0;
  const Surgery s = prune_columns(w, h, {.block = 4});
  for (int64_t begin = 0; begin < 12; begin += 4) {
    double largest_gone = 0.0;
    double smallest_kept = 1e9;
    int64_t kept = 0;
    for (int64_t row = 0; row < 5; ++row) {
      for (int64_t j = begin; j < begin + 4; ++j) {
        const double value = std::abs(w.at({row, j}));
        if (s.mask.at({row, j}) == 0.0) {
          largest_gone = std::max(largest_gone, value);
        } else {
          smallest_kept = std::min(smallest_kept, value);
          EXPECT_EQ(s.weight.at({row, j}), w.at({row, j}));
          ++kept;
        }
      }
    }
    EXPECT_EQ(kept, 10);
    EXPECT_LT(largest_gone, smallest_kept);
  }
}

TEST(SparseGpt, RemovesTheExactNumberWhateverTheBlock) {
  const Tensor w = random_matrix(7, 11, 7);
  const Tensor h = hessian_of(random_matrix(40, 11, 8));
  for (int64_t block : {1, 3, 4, 11, 128}) {
    for (double sparsity : {0.0, 0.3, 0.5, 0.9}) {
      const Surgery s = prune_columns(w, h, {.sparsity = Sparsity(sparsity), .block = block});
      const auto mask = s.mask.to_vector<int>();
      EXPECT_EQ(std::accumulate(mask.begin(), mask.end(), int64_t{0}),
                kept_count(77, Sparsity(sparsity)));
      const auto values = s.weight.to_vector<double>();
      for (size_t i = 0; i < mask.size(); ++i) EXPECT_EQ(values[i] == 0.0, mask[i] == 0);
    }
  }
}

TEST(SparseGpt, TiesGoByIndexNotByThreshold) {
  // Trap: `score <= threshold` would remove the whole crowd of equals.
  const Tensor w = Tensor::ones({2, 4}, DType::F64);
  Tensor h = Tensor::zeros({4, 4}, DType::F64);
  for (int64_t i = 0; i < 4; ++i) h.data<double>()[i * 5] = 1.0;
  const Surgery s = prune_columns(w, h, {});
  EXPECT_EQ(s.mask.to_vector<int>(), (std::vector<int>{1, 1, 1, 1, 0, 0, 0, 0}));
}

TEST(SparseGpt, CellsKeepNOfMWithTheValuesTheyHaveByThen) {
  const Tensor w = random_matrix(6, 16, 9);
  const Tensor h = hessian_of(random_matrix(50, 16, 10));
  for (int64_t keep : {1, 3}) {  // trap: 1:4 keeps one and removes three
    const Surgery s = prune_columns(w, h, {.cell = {.keep = keep, .size = 4}, .block = 6});
    for (int64_t row = 0; row < 6; ++row) {
      for (int64_t begin = 0; begin < 16; begin += 4) {
        int64_t kept = 0;
        for (int64_t j = begin; j < begin + 4; ++j) kept += s.mask.at({row, j}) != 0.0;
        EXPECT_EQ(kept, keep);
      }
    }
  }
  EXPECT_THROW(prune_columns(w, h, {.cell = {.keep = 2, .size = 5}}), ValueError);
}

// By hand: H is the identity but for H02 = H20 = 0.8. Of columns 0 and 1 the first has the lower
// score (0.25 * 0.36 = 0.09 against 1), so w2 becomes 1 + 0.8 * 0.5 = 1.4. Then 1.96 stands against
// 1.21 and column 3 goes; by the weights of the start it would be column 2.
TEST(SparseGpt, LaterColumnsAreScoredByWhatCompensationMadeOfThem) {
  const Tensor w = Tensor::from<double>({1, 4}, {0.5, 1.0, 1.0, 1.1});
  Tensor h = Tensor::zeros({4, 4}, DType::F64);
  for (int64_t i = 0; i < 4; ++i) h.data<double>()[i * 5] = 1.0;
  h.data<double>()[2] = h.data<double>()[8] = 0.8;
  const SurgeryOptions cells = {.cell = {.keep = 1, .size = 2}, .damping = 0.0};
  const SurgeryOptions blocks = {.sparsity = Sparsity(0.5), .damping = 0.0, .block = 2};
  for (const SurgeryOptions& options : {cells, blocks}) {
    const Surgery s = prune_columns(w, h, options);
    EXPECT_EQ(s.mask.to_vector<int>(), (std::vector<int>{0, 1, 1, 0}));
    const auto values = s.weight.to_vector<double>();
    EXPECT_NEAR(values[1], 1.0, 1e-12);
    EXPECT_NEAR(values[2], 1.4, 1e-12);
  }
}

TEST(SparseGpt, AnInputThatIsAlwaysZeroLosesItsWeights) {
  Tensor x = random_matrix(30, 4, 11);
  for (int64_t r = 0; r < 30; ++r) x.data<double>()[r * 4 + 2] = 0.0;
  const Surgery s =
      prune_columns(random_matrix(3, 4, 12), hessian_of(x), {.sparsity = Sparsity(0.25)});
  for (int64_t row = 0; row < 3; ++row) {
    EXPECT_EQ(s.weight.at({row, 2}), 0.0);
    EXPECT_EQ(s.mask.at({row, 2}), 0.0);
    EXPECT_NE(s.weight.at({row, 1}), 0.0);
  }
}

TEST(SparseGpt, WhatWasGoneStaysGoneAndCounts) {
  Tensor alive = Tensor::ones({4, 8}, DType::U8);
  Tensor w = random_matrix(4, 8, 13);
  for (int64_t i = 0; i < 32; i += 3) {
    alive.data<uint8_t>()[i] = 0;
    w.data<double>()[i] = 0.0;
  }
  const Surgery s = prune_columns(w, hessian_of(random_matrix(40, 8, 14)), {}, alive);
  const auto mask = s.mask.to_vector<int>();
  for (size_t i = 0; i < 32; i += 3) EXPECT_EQ(mask[i], 0);
  EXPECT_EQ(std::accumulate(mask.begin(), mask.end(), 0), 16);
}

TEST(SparseGpt, HasTheSameBitsOnAnyNumberOfThreads) {
  const Tensor w = random_matrix(64, 96, 15);
  const Tensor h = hessian_of(random_matrix(200, 96, 16));
  set_num_threads(1);
  const Surgery one = prune_columns(w, h, {.block = 32});
  set_num_threads(2);
  const Surgery two = prune_columns(w, h, {.block = 32});
  set_num_threads(0);
  EXPECT_EQ(one.weight.to_vector<double>(), two.weight.to_vector<double>());
  EXPECT_EQ(one.loss, two.loss);
}

TEST(SparseGpt, TheInputsOfALayerComeFromTheLayersPrunedBefore) {
  auto net = linear_chain({});
  net->add(nn::Linear({.in = 6, .out = 6, .bias = false}));
  net->add(nn::Linear({.in = 6, .out = 4, .bias = false}));
  testing::randomize(*net, 17);
  const auto dense = net->clone();
  Tensor x = Tensor::empty({50, 6});
  Rng rng(18, "test inputs");
  fill_normal_(x, rng);
  prune_now("sparsegpt", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs_of(x));
  const auto rows_of = [&](nn::Module& model) {
    Tensor rows;
    const std::vector<nn::NamedParameter> second = {prunable_weights(model)[1]};
    visit_layer_inputs(model, second, inputs_of(x).batch, 1, [&](size_t, int64_t, const Tensor& r) {
      rows = r.clone();
    });
    return rows;
  };
  const Tensor w = as_matrix(dense->parameter("1.weight").value.value());
  const Surgery expected = prune_columns(w, hessian_of(rows_of(*net)), {});
  const Surgery other = prune_columns(w, hessian_of(rows_of(*dense)), {});
  const Tensor got = net->parameter("1.weight").value.value();
  expect_near(got, expected.weight.to_vector<double>(), kHand);
  EXPECT_GT(quadratic_error(as_matrix(got), other.weight, hessian_of(rows_of(*net))), 1e-4);
}

TEST(SparseGpt, PrunesEveryGroupOfAConvolution) {
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 8, .out_channels = 8, .padding = 1, .groups = 4}));
  testing::randomize(net, 19);
  Tensor x = Tensor::empty({6, 8, 5, 5});
  Rng rng(20, "test inputs");
  fill_normal_(x, rng);
  UpdateReport report;
  prune_now("sparsegpt", {{"sparsity", "0.5"}, {"batches", "1"}}, net, inputs_of(x), &report);
  const auto mask = mask_of(net.parameter("0.weight"));
  for (size_t group = 0; group < 4; ++group) {
    const auto begin = mask.begin() + static_cast<std::ptrdiff_t>(group * 36);
    EXPECT_EQ(std::accumulate(begin, begin + 36, 0), 18);
  }
  ASSERT_EQ(report.layers.size(), 1U);
  EXPECT_EQ(report.layers[0].changed, 72);
}

/// A depthwise 3x3 convolution of 16 channels after SparseGPT: what it keeps.
int64_t kept_of_depthwise(nn::Sequential& net, const Options& given) {
  Tensor x = Tensor::empty({6, 16, 5, 5});
  Rng rng(22, "test inputs");
  fill_normal_(x, rng);
  Options options = given;
  options["batches"] = "1";
  UpdateReport report;
  prune_now("sparsegpt", options, net, inputs_of(x), &report);
  EXPECT_EQ(report.kept(), net.parameter("0.weight").nnz());
  return net.parameter("0.weight").nnz();
}

std::unique_ptr<nn::Sequential> depthwise() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 16, .out_channels = 16, .padding = 1, .groups = 16}));
  testing::randomize(*net, 21);
  return net;
}

TEST(SparseGpt, GroupsShareTheLayersExactNumber) {
  // Rounded in every group of 9, a half would remove 80 of the 144, and 0.95 all of them.
  for (const auto& [sparsity, kept] :
       std::map<std::string, int64_t>{{"0.5", 72}, {"0.3", 101}, {"0.95", 7}, {"0.99", 1}}) {
    auto net = depthwise();
    EXPECT_EQ(kept_of_depthwise(*net, {{"sparsity", sparsity}}), kept) << sparsity;
    const auto mask = mask_of(net->parameter("0.weight"));
    for (auto begin = mask.begin(); begin != mask.end(); begin += 9) {
      const int count = std::accumulate(begin, begin + 9, 0);
      EXPECT_GE(count, kept / 16) << sparsity;
      EXPECT_LE(count, kept / 16 + 1) << sparsity;
    }
  }
}

TEST(SparseGpt, TheLeastNumberIsTheLayersNotEveryGroups) {
  auto net = depthwise();
  EXPECT_EQ(kept_of_depthwise(*net, {{"sparsity", "0.95"}, {"min-per-layer", "10"}}), 10);
}

TEST(SparseGpt, WhatIsGoneOfAGroupSparesTheOthers) {
  auto net = depthwise();
  Tensor mask = Tensor::ones({16, 1, 3, 3}, DType::U8);
  mask.slice(0, 0, 4).fill_(0.0);
  net->parameter("0.weight").set_mask(mask);
  EXPECT_EQ(kept_of_depthwise(*net, {{"sparsity", "0.5"}}), 72);  // 6 in each of the 12 others
  const auto after = mask_of(net->parameter("0.weight"));
  EXPECT_EQ(std::accumulate(after.begin(), after.begin() + 36, 0), 0);
  EXPECT_EQ(std::accumulate(after.begin() + 36, after.begin() + 45, 0), 6);
}

TEST(SparseGpt, AnEmptyLayerIsRefusedAndTheOthersArePutBack) {
  auto net = linear_chain({{{4, 4}, std::vector<float>(16, 1.0F)}});
  net->add(nn::Linear({.in = 4, .out = 2, .bias = false}));
  testing::randomize(*net, 23);
  net->parameter("1.weight").set_mask(Tensor::zeros({2, 4}, DType::U8));
  const auto before = net->parameter("0.weight").value.value().to_vector<float>();
  const Options half = {{"sparsity", "0.5"}, {"batches", "1"}};
  const Tensor x = Tensor::ones({2, 4});
  EXPECT_THROW(prune_now("sparsegpt", half, *net, inputs_of(x)), ValueError);
  EXPECT_FALSE(net->parameter("0.weight").masked());
  EXPECT_EQ(net->parameter("0.weight").value.value().to_vector<float>(), before);
  Options allowed = half;
  allowed["allow-collapse"] = "true";
  prune_now("sparsegpt", allowed, *net, inputs_of(x));
  EXPECT_EQ(net->parameter("0.weight").nnz(), 8);
}

TEST(SparseGpt, RefusesMasksThatOutputsShare) {
  for (const char* pattern : {"2:4g4", "1:4g2"}) {
    const PruneSettings settings = parse_settings(method("sparsegpt"), {{"pattern", pattern}});
    try {
      make_pruner("sparsegpt", settings);
      FAIL() << pattern;
    } catch (const ValueError& error) {
      EXPECT_NE(std::string(error.what()).find(pattern), std::string::npos) << error.what();
    }
  }
  EXPECT_NO_THROW(
      make_pruner("sparsegpt", parse_settings(method("sparsegpt"), {{"pattern", "1:4"}})));
  for (const char* other : {"wanda", "magnitude"}) {
    EXPECT_NO_THROW(make_pruner(other, parse_settings(method(other), {{"pattern", "2:4g4"}})));
  }
}

TEST(SparseGpt, LayersWithoutThePatternStayDenseAndAreNamed) {
  auto net = linear_chain({{{4, 3}, std::vector<float>(12, 1.0F)}});
  net->add(nn::Linear({.in = 4, .out = 2}));
  UpdateReport report;
  prune_now("sparsegpt",
            {{"pattern", "2:4"}, {"batches", "1"}},
            *net,
            inputs_of(Tensor::ones({2, 3})),
            &report);
  EXPECT_FALSE(net->parameter("0.weight").masked());
  EXPECT_EQ(net->parameter("1.weight").nnz(), 4);
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_NE(report.notes[0].find("0.weight"), std::string::npos);
  EXPECT_EQ(report.total(), 20);
}

}  // namespace
}  // namespace espalier::prune
