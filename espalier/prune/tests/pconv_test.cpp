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

/// What ADMM remembers after a step of a training of 8 with 4 rounds in its first half.
std::map<std::string, Tensor> remembered(int64_t after, double rate) {
  ConvTraining training({.lr = rate});
  const auto pruner = pconv({{"sparsity", "0.75"},
                             {"rounds", "4"},
                             {"strength", "0.01"},
                             {"final-strength", "10"},
                             {"prune-at", "0.5"}});
  std::map<std::string, Tensor> state;
  training.run(*pruner, 8, [&](int64_t step) {
    if (step != after) return;
    for (const auto& [name, tensor] : pruner->state()) {
      state[name.substr(name.find('.', 6) + 1)] = tensor.clone();  // without `event.0.`
    }
  });
  return state;
}

TEST(Pconv, DualsOfTheTwoConstraintsAreApart) {
  // Trap: one dual for both would forget which of them W misses.
  const auto state = remembered(3, 0.1);
  EXPECT_EQ(state.at("u.arrangements.3.weight").numel(), 144);
  EXPECT_NE(state.at("u.arrangements.3.weight").to_vector<double>(),
            state.at("u.connectivity.3.weight").to_vector<double>());
  EXPECT_EQ(state.at("u.connectivity.8.weight").numel(), 12);
  EXPECT_FALSE(state.contains("u.arrangements.8.weight"));
  EXPECT_FALSE(remembered(4, 0.1).contains("u.arrangements.3.weight"));  // pruned
}

TEST(Pconv, MultipliersStayWhenRhoGrows) {
  // Trap: duals of the old rho under a tenfold one are a tenfold multiplier. Where nothing moves,
  // rho U is rho_0 (W - Z) in the second round; it would be rho_1 (W - Z).
  const auto first = remembered(0, 0.0);
  const auto second = remembered(1, 0.0);
  ConvTraining training;
  for (const char* of :
       {"arrangements.3.weight", "connectivity.3.weight", "connectivity.8.weight"}) {
    SCOPED_TRACE(of);
    const std::string name = of;
    const auto w = training.net.parameter(name.substr(name.find('.') + 1)).value.value();
    const std::vector<double> weights = w.to_vector<double>();
    const std::vector<double> z = first.at("z." + name).to_vector<double>();
    const std::vector<double> u = second.at("u." + name).to_vector<double>();
    double missed = 0.0;
    for (size_t i = 0; i < u.size(); ++i) {
      EXPECT_NEAR(0.1 * u[i], 0.01 * (weights[i] - z[i]), 1e-12) << i;
      missed += std::abs(weights[i] - z[i]);
    }
    EXPECT_GT(missed, 0.1);
  }
}

TEST(Pconv, ThereIsAdmmHoweverShortTheWayIs) {
  // Trap: a number of steps between projections leaves no multipliers in short trainings.
  ConvTraining training;
  const auto pruner = pconv({{"sparsity", "0.75"}});
  double size = 0.0;
  training.run(*pruner, 6, [&](int64_t step) {
    if (step != 2) return;
    const auto state = pruner->state();
    for (const double u : state.at("event.0.u.arrangements.3.weight").to_vector<double>()) {
      size += std::abs(u);
    }
  });
  EXPECT_GT(size, 0.1);
}

TEST(Pconv, TheMaskIsFrozenAndNotTheChoiceOfArrangement) {
  // Trap: to arrange kernels anew while they are tuned. What stays of a kernel may become so small
  // that another arrangement would keep more of it, and even zero; its four places stay its own.
  const auto net = tiny_conv_net();
  const auto pruner =
      make_pruner("pconv",
                  parse_settings(method("pconv"), {{"sparsity", "0.6"}, {"prune-at", "0"}}),
                  {.input_shape = {3, 8, 8}});
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9}, 0.1);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 4};
  pruner->before_training(state);
  nn::Parameter& w = net->parameter("3.weight");
  const std::vector<int> mask = mask_of(w);
  for (int64_t i = 0; i < w.value.value().numel(); ++i) {  // all but the centres
    if (i % 9 != 4) w.value.value().data<float>()[i] = 0.0F;
  }
  for (state.step = 0; state.step < 4; ++state.step) {
    pruner->before_step(state);
    for (const nn::NamedParameter& one : net->named_parameters()) {
      one.parameter->value.set_grad(Variable(Tensor::ones(one.parameter->shape(), DType::F32)));
    }
    pruner->after_backward(state);
    sgd.step();
    pruner->after_step(state);
  }
  EXPECT_EQ(mask_of(w), mask);
  EXPECT_EQ(std::ranges::count(mask, 1), w.nnz());
  for (size_t i = 0; i < mask.size(); ++i) {
    EXPECT_EQ(w.value.value().data<float>()[i] != 0.0F, mask[i] == 1) << i;
  }
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
    const auto pruner = pconv({{"sparsity", sparsity},
                               {"rounds", "4"},
                               {"strength", "0.05"},
                               {"final-strength", "0.4"},
                               {"prune-at", "0.5"}});
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
