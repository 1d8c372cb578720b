// SPDX-License-Identifier: Apache-2.0
/// FCF: the card's projections, numbers that become 0 or 1, a training next to PyTorch's
/// (oracles/fcf.py), and the traps.
#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/actions/unit_factors.h>
#include <espalier/prune/penalties/lp_box.h>
#include <espalier/prune/tests/conv_training.h>

namespace espalier::prune {
namespace {

using testing::ConvTraining;
using testing::Options;

void expect_all_near(const std::vector<double>& found, const std::vector<double>& right) {
  ASSERT_EQ(found.size(), right.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], right[i], 1e-12) << i;
}

const ConvTraining::Written& written() {
  static const ConvTraining::Written values = {
#include <espalier/prune/tests/oracles/fcf.inc>
  };
  return values;
}

TEST(LpBox, TheCardsProjections) {
  expect_all_near(onto_sphere(std::vector<double>{1.0, 0.5}), {0.5 + std::sqrt(0.5), 0.5});
  expect_all_near(onto_box_with_sum(std::vector<double>{1.2, 0.4, 0.1}, 1.0), {0.9, 0.1, 0.0});
}

TEST(LpBox, EndsAndTrapsOfTheProjections) {
  const std::vector<double> a = {3.0, -2.0, 0.5, 0.5};
  expect_all_near(onto_box_with_sum(a, 0.0), {0, 0, 0, 0});
  expect_all_near(onto_box_with_sum(a, 4.0), {1, 1, 1, 1});
  expect_all_near(onto_box_with_sum(a, 2.0), {1, 0, 0.5, 0.5});
  expect_all_near(onto_box_with_sum(a, 1.0), {1, 0, 0, 0});
  EXPECT_THROW(onto_box_with_sum(a, 4.5), ValueError);
  // Corners stay, and the centre, from which the distance is 0, does not divide by it.
  expect_all_near(onto_sphere(std::vector<double>{1, 0, 0, 1}), {1, 0, 0, 1});
  expect_all_near(onto_sphere(std::vector<double>{0.5, 0.5}), {1, 1});
}

TEST(LpBoxOracle, ProjectsAsPyTorch) {
  const std::vector<double>& point = written().at("point");
  for (const int k : {1, 4, 8}) {
    expect_all_near(onto_box_with_sum(point, k), written().at(cat("box ", k)));
  }
  expect_all_near(onto_sphere(point), written().at("sphere"));
}

std::unique_ptr<Pruner> fcf(Options given) {
  given.insert({"sparsity", "0.5"});
  return make_pruner(
      "fcf", parse_settings(method("fcf"), given), {.input_shape = {2, 4, 4}, .seed = 5});
}

nn::Factors& numbers_on(nn::Module& net, const std::string& weight) {
  return dynamic_cast<nn::Factors&>(*nn::form_site(net, weight).form());
}

TEST(Fcf, WithoutALossNumbersBecomeKOnesAndZeros) {
  // Published strengths; also with weight decay and momentum in the training's optimizer, which
  // must not touch the numbers: with them they would drift or diverge.
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    ConvTraining training;
    const auto pruner = fcf({{"prune-at", "1"}, {"constraint-share", "1"}});
    pruner->attach(training.net);
    training.net.to(DType::F64);
    nn::Factors& form = numbers_on(training.net, "3.weight");
    Rng rng(seed, "numbers");
    Tensor& v = form.factors.value.value();
    for (int64_t i = 0; i < 4; ++i) v.data<double>()[i] = 1.0 - 0.02 * rng.uniform();
    nn::Sgd sgd(training.net, {.lr = 0.1, .momentum = 0.9}, 0.1);
    nn::TrainState state{.model = training.net, .optimizer = sgd, .total_steps = 1500};
    pruner->before_training(state);
    for (state.step = 0; state.step < 1500; ++state.step) {
      pruner->before_step(state);
      pruner->after_backward(state);
      sgd.step();
      pruner->after_step(state);
    }
    std::vector<double> found = v.to_vector<double>();
    std::ranges::sort(found);
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(found[i], i < 2 ? 0.0 : 1.0, 0.01) << seed;
  }
}

TEST(Fcf, NumbersAreZeroOrOneHoweverShortTrainingIs) {
  // Trap: a rho that needs 643 steps to grow leaves a third of a number to fold.
  for (const int64_t steps : {100, 300}) {
    ConvTraining training;
    const auto pruner = fcf({{"prune-at", "1"}});
    training.run(*pruner, steps, [&](int64_t step) {
      if (step != steps - 1) return;
      for (const char* weight : {"3.weight", "8.weight"}) {
        std::vector<double> found =
            numbers_on(training.net, weight).factors.value.value().to_vector<double>();
        std::ranges::sort(found);
        for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(found[i], i < 2 ? 0.0 : 1.0, 0.02) << steps;
      }
    });
  }
}

TEST(Fcf, KIsTheAllocationsAndBothPatternsCount) {
  for (const char* pattern : {"channel", "filter"}) {
    ConvTraining training;
    const auto pruner =
        fcf({{"pattern", pattern}, {"layer-sparsity", "0=0.25"}, {"prune-at", "0.5"}});
    pruner->attach(training.net);
    const bool channel = std::string(pattern) == "channel";
    const auto k_of = [&](const char* weight) {
      return numbers_on(training.net, weight).memories.at(2).to_vector<double>().front();
    };
    EXPECT_EQ(k_of(channel ? "3.weight" : "0.weight"), 3.0);
    EXPECT_EQ(k_of(channel ? "8.weight" : "3.weight"), 2.0);
    training.run(*pruner, 4);
    EXPECT_EQ(training.net.parameter("0.weight").nnz(), 3 * 18);
  }
}

TEST(FcfOracle, LearnsNumbersPrunesAndTunesAsPyTorch) {
  ConvTraining training;
  const auto pruner = fcf({{"rho", "0.5"},
                           {"most-rho", "2"},
                           {"growth-until", "0.5"},
                           {"constraint-share", "0.9"},
                           {"prune-at", "0.8"}});
  training.run(*pruner, 60, [&](int64_t step) {
    if (step != 47) return;
    testing::expect_near(numbers_on(training.net, "3.weight").factors.value.value(),
                         written().at("numbers 1"),
                         testing::kExact);
    testing::expect_near(numbers_on(training.net, "8.weight").factors.value.value(),
                         written().at("numbers 4"),
                         testing::kExact);
  });
  EXPECT_EQ(training.compare(written(), "end"), 7);
  RecordProperty("largest", cat(training.largest));
}

}  // namespace
}  // namespace espalier::prune
