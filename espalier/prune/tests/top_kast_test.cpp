// SPDX-License-Identifier: Apache-2.0
/// Top-KAST: the card's properties, PyTorch's training (oracles/top_kast.py), and the traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/forms/top_kast.h>
#include <espalier/nn/train/adam.h>
#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using testing::Options;
using testing::tiny_conv_net;
using testing::tiny_loader;

std::unique_ptr<Pruner> top_kast(Options given) {
  given.insert({"sparsity", "0.75"});
  return make_pruner("top-kast", parse_settings(method("top-kast"), given), {.seed = 5});
}

const nn::TopKast& form_of(nn::Module& net, const std::string& weight) {
  return dynamic_cast<const nn::TopKast&>(*nn::form_site(net, weight).form());
}

int64_t ones(const Tensor& mask) {
  int64_t sum = 0;
  for (int64_t i = 0; i < mask.numel(); ++i) sum += mask.data<uint8_t>()[i];
  return sum;
}

/// Looks at each step what moved, and whether A is in B.
class Watch : public nn::TrainHook {
 public:
  void before_step(nn::TrainState& state) override {
    before = state.model.parameter("3.weight").value.value().clone();
    const nn::TopKast& form = form_of(state.model, "3.weight");
    used = form.forward_mask().clone();
    trained = form.backward_mask().clone();
  }
  void after_step(nn::TrainState& state) override {
    const auto old = before.to_vector<float>();
    const auto now = state.model.parameter("3.weight").value.value().to_vector<float>();
    for (size_t i = 0; i < old.size(); ++i) {
      const bool in_a = used.data<uint8_t>()[i] != 0;
      const bool in_b = trained.data<uint8_t>()[i] != 0;
      outside_b += in_a && !in_b ? 1 : 0;
      if (old[i] != now[i]) (in_b ? moved : strayed) += 1;
      in_b_alone += in_b && !in_a && old[i] != now[i] ? 1 : 0;
    }
    counts.emplace_back(ones(used), ones(trained));
    if (last.defined()) {
      for (int64_t i = 0; i < used.numel(); ++i) {
        changed += used.data<uint8_t>()[i] != last.data<uint8_t>()[i] ? 1 : 0;
      }
    }
    last = used;
  }
  Tensor before, used, trained, last;
  int64_t outside_b = 0, moved = 0, strayed = 0, in_b_alone = 0, changed = 0;
  std::vector<std::pair<int64_t, int64_t>> counts;
};

TEST(TopKast, WhatIsOutsideOfBRestsAndTheCountsStay) {
  // Trap: momentum and weight decay would go on moving what left B.
  for (const bool adam : {false, true}) {
    const auto net = tiny_conv_net();
    std::unique_ptr<nn::Optimizer> optimizer;
    if (adam) {
      optimizer = std::make_unique<nn::Adam>(nn::parameter_groups(*net, 0.1), nn::AdamOptions{});
    } else {
      optimizer = std::make_unique<nn::Sgd>(nn::parameter_groups(*net, 0.1),
                                            nn::SgdOptions{.lr = 0.1, .momentum = 0.9});
    }
    auto loader = tiny_loader();
    Watch watch;
    const auto pruner = top_kast({{"exploration", "0.1"}});
    nn::fit(*net,
            *optimizer,
            nn::ConstantLr(adam ? 0.01 : 0.1),
            *loader,
            {pruner.get(), &watch},
            {.epochs = 3});
    EXPECT_EQ(watch.outside_b, 0);
    EXPECT_EQ(watch.strayed, 0);
    EXPECT_GT(watch.moved, 1000);
    EXPECT_GT(watch.in_b_alone, 200);
    EXPECT_GT(watch.changed, 0);
    // Reports tell of the same changes: those up to the last step's choice.
    int64_t told = 0;
    for (const UpdateReport& update : pruner->updates()) told += update.layers.at(1).changed;
    EXPECT_EQ(told, watch.changed);
    // 1152 weights: a quarter, and a tenth more.
    for (const auto& one : watch.counts) EXPECT_EQ(one, (std::pair<int64_t, int64_t>(288, 403)));
    EXPECT_EQ(net->parameter("3.weight").nnz(), 288);
    EXPECT_FALSE(nn::has_forms(*net));
    EXPECT_TRUE(net->parameter("3.weight").decays);
  }
}

TEST(TopKast, WithoutALargerSetOnlyWhatIsInUseIsTrained) {
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  auto loader = tiny_loader();
  Watch watch;
  const auto pruner = top_kast({{"extra", "0"}});
  nn::fit(*net, sgd, nn::ConstantLr(0.1), *loader, {pruner.get(), &watch}, {.epochs = 3});
  EXPECT_EQ(watch.strayed + watch.in_b_alone, 0);
  for (const auto& one : watch.counts) EXPECT_EQ(one, (std::pair<int64_t, int64_t>(288, 288)));
}

TEST(TopKast, WithAllInUseIsDenseTrainingWithL2) {
  const auto dense = tiny_conv_net();
  const auto net = tiny_conv_net();
  auto loader = tiny_loader();
  auto again = tiny_loader();
  // Of the weights alone: the penalty knows no biases.
  std::vector<nn::ParameterGroup> groups(2);
  for (const nn::NamedParameter& one : dense->named_parameters()) {
    groups[one.parameter->shape().rank() > 1 ? 0 : 1].parameters.push_back(one);
  }
  groups[0].weight_decay = 0.05;
  nn::Sgd plain(groups, {.lr = 0.1, .momentum = 0.9});
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  const auto pruner = top_kast({{"sparsity", "0"}, {"exploration", "0.05"}});
  nn::fit(*dense, plain, nn::ConstantLr(0.1), *loader, {}, {.epochs = 2});
  nn::fit(*net, sgd, nn::ConstantLr(0.1), *again, {pruner.get()}, {.epochs = 2});
  constexpr double kRounding = 1e-4;
  for (const auto& [name, tensor] : dense->state_dict()) {
    testing::expect_near(net->state_dict().at(name), tensor.to_vector<double>(), kRounding);
  }
}

TEST(TopKast, NewcomersArePulledDownHarder) {
  // Trap: 1/D, D = 0.25: dL/dw is c w on A, 4 c w on B alone, 0 elsewhere.
  const auto net = testing::linear_chain({{{1, 8}, {8, 7, 6, 5, 4, 3, 2, 1}}});
  nn::Sgd sgd(*net, {.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  const auto pruner = top_kast({{"extra", "0.25"}, {"exploration", "0.5"}});
  pruner->attach(*net);
  pruner->before_training(state);
  pruner->before_step(state);
  pruner->penalty(state).backward();
  testing::expect_near(net->parameter("0.weight").value.grad().value(),
                       {4, 3.5, 12, 10, 0, 0, 0, 0},
                       testing::kExact);
}

TEST(TopKast, IsChosenAnewOnlyAtItsFrequency) {
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.1});
  auto loader = tiny_loader();
  Watch watch;
  const auto pruner = top_kast({{"frequency", "100"}});
  nn::fit(*net, sgd, nn::ConstantLr(0.1), *loader, {pruner.get(), &watch}, {.epochs = 3});
  EXPECT_EQ(watch.changed, 0);
  EXPECT_GT(watch.in_b_alone, 0);
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/top_kast.inc>
  };
  return values;
}

TEST(TopKastOracle, MasksAndWeightsFollowPyTorch) {
  testing::SmallTraining training(oracle(), 0.0);
  const Options given = {{"extra", "0.2"}, {"exploration", "0.05"}, {"frequency", "2"}};
  const auto timeline =
      choose_method(method("top-kast"), parse_settings(method("top-kast"), given)).timeline();
  // Weights at rest are compared too; the masks at the end are those of the last choice.
  EXPECT_EQ(training.run(timeline, {}, Sparsity(0.6)), 10 + 1);
}

}  // namespace
}  // namespace espalier::prune
