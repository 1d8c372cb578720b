// SPDX-License-Identifier: Apache-2.0
/// A sparsity that can't be reached is refused before the first step, not at the last update.
#include <gtest/gtest.h>

#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/tests/tiny.h>

#include <espalier/data/dataset.h>
#include <espalier/data/memory_dataset.h>

namespace espalier::prune {
namespace {

using espalier::testing::expect_error;

// Counts the steps that were made.
class Steps : public nn::TrainHook {
 public:
  void after_step(nn::TrainState&) override { ++count; }
  int64_t count = 0;
};

/// Trains LeNet-5 for two epochs of four steps with a method; the steps that were made.
int64_t train_with(const std::string& method_name,
                   const std::map<std::string, std::string>& given) {
  const auto digits = data::subset(data::open_dataset("synth", data::Split::Train, ""), 64, 1);
  data::Loader loader(digits, {.batch_size = 16, .workers = 0});
  const auto model = nn::make_model("lenet5", {.image = {3, 32, 32}});
  nn::Sgd sgd(*model, {.momentum = 0.9}, 5e-4);
  const auto pruner = make_pruner(method_name, parse_settings(method(method_name), given), {});
  Steps steps;
  try {
    nn::fit(*model, sgd, nn::ConstantLr(0.01), loader, {pruner.get(), &steps}, {.epochs = 2});
  } catch (...) {
    EXPECT_EQ(steps.count, 0) << "found only after training began";
    throw;
  }
  return steps.count;
}

TEST(Reachable, GradualPruningToNothingIsRefusedBeforeTheFirstStep) {
  for (const char* allocation : {"uniform", "erk", "global"}) {
    SCOPED_TRACE(allocation);
    expect_error<ValueError>(
        [&] {
          train_with("gmp", {{"sparsity", "1"}, {"allocation", allocation}});
        },
        {"sparsity 1", "layer collapse"});
  }
  // The first convolution has 1500 weights: it would keep none.
  expect_error<ValueError>(
      [] {
        train_with("gmp", {{"sparsity", "0.9999"}});
      },
      {"nothing passes through", "conv1.weight"});
  EXPECT_EQ(train_with("gmp", {{"sparsity", "0.9999"}, {"min-per-layer", "200"}}), 8);
  EXPECT_EQ(train_with("gmp", {{"sparsity", "1"}, {"allow-collapse", "true"}}), 8);
}

TEST(Reachable, FloorsThatKeepMoreThanIsAskedForAreRefused) {
  for (const char* allocation : {"uniform", "erk", "global"}) {
    expect_error<ValueError>(
        [&] {
          train_with("gmp",
                     {{"sparsity", "0.99"}, {"min-per-layer", "5000"}, {"allocation", allocation}});
        },
        {"min-per-layer 5000", "sparsity 0.99 can't be reached"});
  }
}

// One channel of each layer is 2 of 24, but leaves 27 + 9 + 192 of 4440 weights, 0.051.
TEST(Reachable, FloorsOfChannelsLeaveASparsityOfWeights) {
  const auto train = [](const char* sparsity) {
    auto net = testing::tiny_conv_net();
    const auto pruner = make_pruner("gmp",
                                    parse_settings(method("gmp"),
                                                   {{"pattern", "channel"},
                                                    {"sparsity", sparsity},
                                                    {"allocation", "global"},
                                                    {"frequency", "2"},
                                                    {"min-per-layer", "1"}}),
                                    {.input_shape = {3, 8, 8}});
    nn::Sgd sgd(*net, {.lr = 0.01});
    auto loader = testing::tiny_loader();
    nn::fit(*net, sgd, nn::ConstantLr(0.01), *loader, {pruner.get()}, {.epochs = 2});
    return pruner->updates().back().reached.value();
  };
  EXPECT_GE(train("0.94"), 0.94);
  expect_error<ValueError>([&] { train("0.97"); }, {"min-per-layer 1", "only 0.9486"});
}

TEST(Reachable, FloorsAreLookedAtInRoundsToo) {
  expect_error<ValueError>(
      [] {
        train_with("magnitude", {{"rounds", "2"}, {"sparsity", "0.99"}, {"min-per-layer", "5000"}});
      },
      {"min-per-layer 5000", "can't be reached"});
}

TEST(Reachable, SchedulesThatCantBeginAreRefused) {
  expect_error<ValueError>(
      [] {
        train_with("gmp", {{"begin", "0.8"}, {"end", "0.5"}});
      },
      {"begin <= end"});
  expect_error<ValueError>(
      [] {
        train_with("gmp", {{"sparsity", "0.5"}, {"initial-sparsity", "0.9"}});
      },
      {"initial sparsity 0.9 exceeds the final one"});
}

TEST(Reachable, MethodsThatRegularizeFirstAreRefusedToo) {
  expect_error<ValueError>([] { train_with("l0", {{"sparsity", "1"}}); }, {"layer collapse"});
}

}  // namespace
}  // namespace espalier::prune
