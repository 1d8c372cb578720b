// SPDX-License-Identifier: Apache-2.0
/// Blocks and kernels leave every output of a network something: which units stay, how many, and
/// what is told.
#include <algorithm>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>
#include <espalier/prune/sites/outputs.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;

constexpr const char* kNote = "1.weight keeps a unit of each row: they are the network's outputs";

/// linear 4>4 of nines, linear 4>5 whose rows are weaker the later they come: 103, 102, .. in row
/// 0, and a tenth of that, and so on.
std::unique_ptr<nn::Sequential> falling_rows() {
  std::vector<float> rows;
  float scale = 1.0F;
  for (int r = 0; r < 5; ++r, scale /= 10.0F) {
    for (int i = 0; i < 4; ++i) rows.push_back(scale * static_cast<float>(103 - i));
  }
  return linear_chain({{{4, 4}, std::vector<float>(16, 900.0F)}, {{5, 4}, rows}});
}

UpdateReport prune(nn::Module& net, const std::map<std::string, std::string>& options) {
  const PruneSettings settings = parse_settings(method("magnitude"), options);
  auto pruner = make_pruner("magnitude", settings, {.input_shape = {4}});
  return pruner->prune(net, nullptr, settings.final());
}

int count_of(const std::vector<std::string>& notes, const std::string& note) {
  return static_cast<int>(std::ranges::count(notes, note));
}

TEST(OutputBlocks, TheWeakestUnitOfAFullRowGoesForTheBestOfAnEmptyOne) {
  // 36 units, 21 stay: all 16 of the first layer and 5 of the second, one a row.
  const auto net = falling_rows();
  const UpdateReport report = prune(*net, {{"sparsity", cat(15.0 / 36.0)}, {"pattern", "kernel"}});
  EXPECT_EQ(net->parameter("0.weight").nnz(), 16);
  EXPECT_EQ(mask_of(net->parameter("1.weight")),
            (std::vector<int>{1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(report.notes, std::vector<std::string>{kNote});
}

TEST(OutputBlocks, WhatIsRaisedIsTakenOffTheOtherLayers) {
  // 10 units stay; by magnitude all of them would be of the first layer.
  for (const char* allocation : {"global", "erk"}) {
    const auto net = falling_rows();
    const UpdateReport report = prune(
        *net, {{"sparsity", cat(26.0 / 36.0)}, {"pattern", "kernel"}, {"allocation", allocation}});
    EXPECT_EQ(report.kept(), 10) << allocation;
    EXPECT_EQ(net->parameter("1.weight").nnz(), 5) << allocation;
    EXPECT_EQ(report.notes, std::vector<std::string>{kNote}) << allocation;
  }
}

TEST(OutputBlocks, NothingIsToldOrChangedWhereNoOutputIsInDanger) {
  // Uniform: 10 of the 20 stay. Equal rows: the best half of every row.
  std::vector<float> rows;
  for (int i = 0; i < 20; ++i) rows.push_back(static_cast<float>(4 - i % 4));
  const auto net = linear_chain({{{4, 4}, std::vector<float>(16, 9.0F)}, {{5, 4}, rows}});
  const UpdateReport report =
      prune(*net, {{"sparsity", "0.5"}, {"pattern", "kernel"}, {"allocation", "uniform"}});
  EXPECT_EQ(mask_of(net->parameter("1.weight")),
            (std::vector<int>{1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0}));
  EXPECT_TRUE(report.notes.empty());
}

TEST(OutputBlocks, AUnitOfSeveralRowsIsForAllOfThem) {
  // Blocks of two rows, the last of one: three groups of rows, each keeps a block.
  const auto net = falling_rows();
  const UpdateReport report =
      prune(*net, {{"sparsity", "0.75"}, {"pattern", "2x1"}, {"allocation", "uniform"}});
  const std::vector<int> mask = mask_of(net->parameter("1.weight"));
  EXPECT_EQ(mask, (std::vector<int>{1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(report.notes, std::vector<std::string>{kNote});
}

TEST(OutputBlocks, SingleWeightsAreNoBlocks) {
  const auto net = falling_rows();
  const UpdateReport report = prune(*net, {{"sparsity", cat(15.0 / 36.0)}});
  EXPECT_EQ(mask_of(net->parameter("1.weight")),
            (std::vector<int>{1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(count_of(report.notes, kNote), 0);
}

TEST(OutputBlocks, AblationsKeepOutputsAndCountsToo) {
  for (const char* ablation : {"shuffle", "invert"}) {
    const auto net = falling_rows();
    const UpdateReport report = prune(*net,
                                      {{"sparsity", "0.75"},
                                       {"pattern", "kernel"},
                                       {"allocation", "uniform"},
                                       {"allow-collapse", "true"},
                                       {"ablation", ablation}});
    EXPECT_EQ(report.kept(), 9) << ablation;
    const std::vector<int> mask = mask_of(net->parameter("1.weight"));
    for (size_t r = 0; r < 5; ++r) {
      EXPECT_EQ(mask[4 * r] + mask[4 * r + 1] + mask[4 * r + 2] + mask[4 * r + 3], 1) << r;
      if (std::string(ablation) == "invert") {
        EXPECT_EQ(mask[4 * r + 3], 1) << r;
      }
    }
  }
}

TEST(OutputBlocks, AShuffledMaskDiffersByTheOutputsThatItWouldEmptyAlone) {
  Site site;
  site.units = 6;
  site.outputs = {{0, 1, 2}, {3, 4, 5}};
  const std::vector<uint8_t> all(6, 1);
  const std::vector<uint8_t> good = {0, 1, 1, 0, 0, 1};
  EXPECT_EQ(with_outputs(site, good, all, Rng(1, "x")), good);
  std::set<std::vector<uint8_t>> results;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto saved = with_outputs(site, {1, 1, 1, 0, 0, 0}, all, Rng(seed, "x"));
    EXPECT_EQ(saved[0] + saved[1] + saved[2], 2);
    EXPECT_EQ(saved[3] + saved[4] + saved[5], 1);
    results.insert(saved);
  }
  EXPECT_EQ(results.size(), 9U);  // any of three goes for any of three
}

TEST(OutputBlocks, RegrowthMovesNoOutputAway) {
  for (const char* ablation : {"none", "shuffle"}) {
    const auto net = testing::tiny_mlp();
    Tensor& weight = net->parameter("5.weight").value.value();
    for (int64_t i = 0; i < 12; ++i) weight.data<float>()[i] *= 1e-6F;  // output 0
    nn::Sgd sgd(*net, {.lr = 0.05});
    auto hook = make_pruner("rigl",
                            parse_settings(method("rigl"),
                                           {{"sparsity", "0.9"},
                                            {"pattern", "kernel"},
                                            {"frequency", "2"},
                                            {"ablation", ablation}}),
                            {.seed = 4});
    bool kept = true;
    int updates = 0;
    hook->on_update = [&](const UpdateReport&) {
      ++updates;
      const std::vector<int> mask = mask_of(net->parameter("5.weight"));
      for (size_t r = 0; r < 3; ++r) {
        int left = 0;
        for (size_t i = 0; i < 12; ++i) left += mask[12 * r + i];
        kept = kept && left > 0;
      }
    };
    const auto loader = testing::tiny_loader();
    nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {hook.get()}, {.epochs = 5});
    EXPECT_GT(updates, 3);
    EXPECT_TRUE(kept) << ablation;
  }
}

TEST(OutputBlocks, RoundsTellWhatAnEarlierOneKept) {
  const auto net = falling_rows();
  nn::Sgd sgd(*net, {.lr = 0.1});
  auto hook =
      make_pruner("synflow",
                  parse_settings(method("synflow"),
                                 {{"sparsity", "0.7"}, {"pattern", "kernel"}, {"rounds", "10"}}),
                  {.input_shape = {4}});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  EXPECT_EQ(hook->updates().back().kept(), 11);
  EXPECT_EQ(count_of(hook->updates().back().notes, kNote), 1);
  const std::vector<int> mask = mask_of(net->parameter("1.weight"));
  for (size_t r = 0; r < 5; ++r) {
    EXPECT_GT(mask[4 * r] + mask[4 * r + 1] + mask[4 * r + 2] + mask[4 * r + 3], 0) << r;
  }
}

TEST(OutputBlocks, ASparsityThatOutputsMakeImpossibleIsRefused) {
  const auto net = linear_chain({{{20, 1}, std::vector<float>(20, 1.0F)}});
  nn::Sgd sgd(*net, {.lr = 0.1});
  auto hook =
      make_pruner("gmp",
                  parse_settings(method("gmp"), {{"sparsity", "0.5"}, {"pattern", "kernel"}}),
                  {.input_shape = {1}});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 100};
  try {
    hook->before_training(state);
    FAIL() << "20 outputs of one weight each can't lose half";
  } catch (const ValueError& error) {
    EXPECT_NE(
        std::string(error.what()).find("a unit of every output of the network keeps 20 of 20"),
        std::string::npos)
        << error.what();
  }
}

TEST(TopK, GivesThoseThatGoFirstAPlaceBeforeAllOthers) {
  const std::vector<double> scores = {5, 4, 3, 2, 1};
  const std::vector<uint8_t> all(5, 1);
  const std::vector<uint8_t> first = {0, 0, 1, 0, 1};
  EXPECT_EQ(top_k(scores, all, 3, first), (std::vector<uint8_t>{1, 0, 1, 0, 1}));
  EXPECT_EQ(top_k(scores, {}, 1, first), (std::vector<uint8_t>{0, 0, 1, 0, 0}));
  EXPECT_EQ(top_k(scores, all, 3, {}), top_k(scores, all, 3));
  const std::vector<uint8_t> some = {1, 1, 1, 1, 0};
  EXPECT_EQ(top_k(scores, some, 3, first), (std::vector<uint8_t>{1, 1, 1, 0, 0}));
  EXPECT_THROW(top_k(scores, all, 1, std::vector<uint8_t>{1}), ShapeError);
}

}  // namespace
}  // namespace espalier::prune
