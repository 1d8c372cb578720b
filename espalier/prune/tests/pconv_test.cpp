// SPDX-License-Identifier: Apache-2.0
/// PConv: the card's kernel and rates, projections as properties, a training with ADMM next to
/// PyTorch's (oracles/pconv.py), and the traps.
#include <algorithm>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include <espalier/prune/patterns/kernel_pattern.h>
#include <espalier/prune/tests/conv_training.h>

namespace espalier::prune {
namespace {

using testing::ConvTraining;
using testing::mask_of;
using testing::Options;
using testing::tiny_conv_net;

const Shape kOneKernel = {1, 1, 3, 3};

TEST(KernelPattern, TheCardsKernelKeepsTheFirstArrangement) {
  const std::vector<double> kernel = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  // 5^2 + 6^2 + 8^2 + 9^2 = 206; the arrangement without a centre would hold 230, and is not there.
  EXPECT_EQ(pattern_mask(kernel, kOneKernel), (std::vector<uint8_t>{0, 0, 0, 0, 1, 1, 0, 1, 1}));
  for (const auto& places : kKernelPatterns) {
    EXPECT_EQ(std::ranges::count(places, 4), 1);
    EXPECT_EQ(std::set(places.begin(), places.end()).size(), 4U);
  }
  EXPECT_EQ(std::set(kKernelPatterns.begin(), kKernelPatterns.end()).size(), 8U);
}

TEST(KernelPattern, OfEqualArrangementsTheFirstIsTaken) {
  EXPECT_EQ(pattern_mask(std::vector<double>(9, -1.0), kOneKernel),
            (std::vector<uint8_t>{0, 0, 0, 0, 1, 1, 0, 1, 1}));
}

TEST(KernelPattern, KernelsFollowFromTheSparsity) {
  // r = 1 - 0.1 * 9/4 = 0.775: of 40 kernels 31 go, of 16 twelve, of 3 two.
  EXPECT_EQ(kernels_kept({8, 40, 3, 3}, Sparsity(0.9)), 9);
  EXPECT_EQ(kernels_kept({8, 16, 3, 3}, Sparsity(0.9)), 4);
  EXPECT_EQ(kernels_kept({8, 3, 3, 3}, Sparsity(0.9)), 1);
  // Trap: below 5/9 the rate is negative, and no kernel goes.
  EXPECT_EQ(kernels_kept({8, 16, 3, 3}, Sparsity(0.3)), 16);
  EXPECT_EQ(kernels_kept({8, 16, 3, 3}, Sparsity(5.0 / 9.0)), 16);
  // Others have connectivity alone; a filter of one kernel keeps it.
  EXPECT_EQ(kernels_kept({8, 10, 1, 1}, Sparsity(0.9)), 1);
  EXPECT_EQ(kernels_kept({10, 20}, Sparsity(0.75)), 5);
  EXPECT_EQ(kernels_kept({8, 1, 3, 3}, Sparsity(0.99)), 1);
}

TEST(KernelPattern, ProjectionsAreIdempotentAndTheNearest) {
  Rng rng(3, "kernels");
  const Shape shape = {5, 6, 3, 3};
  Tensor w = Tensor::empty(shape, DType::F64);
  fill_normal_(w, rng, 0.0, 1.0);
  std::vector<double> values = w.to_vector<double>();
  const std::vector<uint8_t> first = pattern_mask(values, shape);
  const std::vector<uint8_t> kernels = connectivity_mask(values, shape, 2);
  for (size_t k = 0; k < values.size(); k += 9) {
    EXPECT_EQ(std::accumulate(&first[k], &first[k] + 9, 0), 4);
    double kept = 0.0;
    for (size_t i = 0; i < 9; ++i) kept += first[k + i] * values[k + i] * values[k + i];
    for (const auto& places : kKernelPatterns) {
      double other = 0.0;
      for (const int64_t i : places) other += std::pow(values[k + static_cast<size_t>(i)], 2.0);
      EXPECT_LE(other, kept + 1e-12);
    }
    EXPECT_EQ(std::set(&kernels[k], &kernels[k] + 9).size(), 1U);
  }
  for (size_t row = 0; row < values.size(); row += 54) {
    EXPECT_EQ(std::accumulate(&kernels[row], &kernels[row] + 54, 0), 18);
  }
  std::vector<double> projected = values;
  for (size_t i = 0; i < values.size(); ++i) projected[i] *= first[i];
  EXPECT_EQ(pattern_mask(projected, shape), first);
  for (size_t i = 0; i < values.size(); ++i) projected[i] = values[i] * kernels[i];
  EXPECT_EQ(connectivity_mask(projected, shape, 2), kernels);
}

std::unique_ptr<Pruner> pconv(Options given) {
  return make_pruner(
      "pconv", parse_settings(method("pconv"), given), {.input_shape = {2, 4, 4}, .seed = 5});
}

TEST(Pconv, KernelsHaveFourWeightsOrNoneAndFiltersEquallyMany) {
  const auto net = tiny_conv_net();
  testing::prune_now(
      "pconv", {{"sparsity", "0.8"}, {"prune-at", "0"}}, *net, {.input_shape = {3, 8, 8}});
  for (const auto& [name, in] : {std::pair<const char*, size_t>{"0.weight", 3}, {"3.weight", 8}}) {
    const std::vector<int> mask = mask_of(net->parameter(name));
    // r = 0.55: of three kernels one goes, of eight four.
    const int stay = in == 3 ? 2 : 4;
    for (size_t row = 0; row < mask.size(); row += 9 * in) {
      EXPECT_EQ(std::accumulate(&mask[row], &mask[row] + 9 * in, 0), 4 * stay);
      for (size_t k = row; k < row + 9 * in; k += 9) {
        const int kept = std::accumulate(&mask[k], &mask[k] + 9, 0);
        EXPECT_TRUE(kept == 0 || (kept == 4 && mask[k + 4] == 1)) << name << " " << k;
      }
    }
  }
  EXPECT_EQ(net->parameter("7.weight").nnz(), 3 * 205);  // 1024 - floor(0.8 * 1024)
}

TEST(Pconv, DualsOfTheTwoConstraintsAreApart) {
  // Trap: one dual for both would forget which of them W misses.
  ConvTraining training;
  const auto pruner = pconv({{"sparsity", "0.75"}, {"frequency", "2"}, {"rho", "0.05"}});
  std::map<std::string, Tensor> state;
  training.run(*pruner, 18, [&](int64_t step) {
    if (step == 7) {
      for (const auto& [name, tensor] : pruner->state()) state[name] = tensor.clone();
    }
  });
  const auto dual = [&](const std::string& of) {
    for (const auto& [name, tensor] : state) {
      if (name.ends_with("dual." + of)) return tensor.to_vector<double>();
    }
    return std::vector<double>{};
  };
  EXPECT_EQ(dual("pattern.3.weight").size(), 144U);
  EXPECT_EQ(dual("kernels.3.weight").size(), 144U);
  EXPECT_NE(dual("pattern.3.weight"), dual("kernels.3.weight"));
  EXPECT_EQ(dual("kernels.8.weight").size(), 12U);
  EXPECT_TRUE(dual("pattern.8.weight").empty());
}

TEST(Pconv, OnlyItsPatternAndNoAblations) {
  EXPECT_THROW(parse_settings(method("pconv"), {{"pattern", "kernel"}, {"sparsity", "0.8"}}),
               ValueError);
  EXPECT_THROW(pconv({{"sparsity", "0.8"}, {"ablation", "shuffle"}}), NotImplemented);
}

const ConvTraining::Written& written() {
  static const ConvTraining::Written values = {
#include <espalier/prune/tests/oracles/pconv.inc>
  };
  return values;
}

TEST(PconvOracle, TrainsPrunesAndTunesAsPyTorch) {
  for (const char* sparsity : {"0.75", "0.5"}) {
    ConvTraining training;
    const auto pruner =
        pconv({{"sparsity", sparsity}, {"frequency", "2"}, {"rho", "0.05"}, {"prune-at", "0.5"}});
    int compared = 0;
    training.run(*pruner, 24, [&](int64_t step) {
      if (step == 11) compared += training.compare(written(), cat(sparsity, " dense"));
    });
    EXPECT_EQ(compared + training.compare(written(), cat(sparsity, " end")), 4);
    RecordProperty(cat("largest at ", sparsity), cat(training.largest));
  }
}

}  // namespace
}  // namespace espalier::prune
