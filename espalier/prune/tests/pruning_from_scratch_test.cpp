// SPDX-License-Identifier: Apache-2.0
/// Pruning from scratch: the card's numbers, PyTorch's gates (oracles/pruning_from_scratch.py), and
/// the traps.
#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/init.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::mask_of;
using testing::Options;

constexpr double kOracle = 1e-6;  // Adam adds epsilon to gradients that are twice as large here

/// Convolutions 3x3 of these widths with batch norm and ReLU (weights 0, 3, ..), mean over the
/// plane, linear.
std::unique_ptr<nn::Sequential> net_of(const std::vector<int64_t>& widths, int64_t outputs) {
  auto net = std::make_unique<nn::Sequential>();
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    net->add(nn::Conv2d({.in_channels = widths[l],
                         .out_channels = widths[l + 1],
                         .kernel = 3,
                         .padding = 1,
                         .bias = false}));
    net->add(nn::BatchNorm2d({.channels = widths[l + 1]}));
    net->add(nn::ReLU());
  }
  net->add(nn::AdaptiveAvgPool2d(1));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = widths.back(), .out = outputs}));
  testing::randomize(*net, 3);
  return net;
}

/// Steps of gates alone.
class Gates {
 public:
  Gates(nn::Module& net, const ScaleGateOptions& options, const Shape& sample)
      : inputs_{.input_shape = sample},
        action_(scale_gates(options)),
        sgd_(net, {.lr = 0.1, .momentum = 0.9}, 1e-2),
        subject_{net, &sgd_, pattern_, settings_, inputs_},
        state_{.model = net, .optimizer = sgd_, .total_steps = 100} {
    action_->enter(subject_, state_);
  }
  Variable penalty() {
    action_->before_step(subject_, state_);
    return action_->penalty(subject_, state_);
  }
  void step(const std::function<Variable()>& loss) {
    action_->before_step(subject_, state_);
    state_.model.zero_grad();
    (loss() + action_->penalty(subject_, state_)).backward();
    action_->after_backward(subject_, state_);
    sgd_.step();
    action_->after_step(subject_, state_);
    ++state_.step;
  }

 private:
  LayerPatterns pattern_{make_pattern("channel")};
  PruneSettings settings_;
  PruneInputs inputs_;
  std::shared_ptr<Action> action_;
  nn::Sgd sgd_;
  Subject subject_;
  nn::TrainState state_;
};

void set_gates(nn::Module& net, const std::string& norm, const std::vector<double>& gates) {
  Tensor scales = Tensor::from({static_cast<int64_t>(gates.size())}, gates);
  for (size_t i = 0; i < gates.size(); ++i) scales.data<double>()[i] *= 0.5;
  Tensor& value = net.parameter(norm).value.value();
  value.copy_(scales.to(value.dtype()));
}

TEST(ScaleGates, ThePenaltyIsThatOfTheHandWorkedExample) {
  auto net = net_of({3, 4}, 2);
  Gates gates(*net, {.strength = 0.5, .share = 0.5}, {3, 4, 4});
  Variable penalty = gates.penalty();
  penalty.backward();  // all gates are 1: 0.125 for each, of a scale twice that
  expect_near(net->parameter("1.weight").value.grad().value(), {0.25, 0.25, 0.25, 0.25}, 1e-7);
  // Traps: below r the square pushes up; a gate at zero gets no push.
  set_gates(*net, "1.weight", {1, 0.5, 0, 0.25});
  net->zero_grad();
  penalty = gates.penalty();
  EXPECT_NEAR(penalty.item(), 0.001953125, 1e-9);
  penalty.backward();
  expect_near(
      net->parameter("1.weight").value.grad().value(), {-0.03125, -0.03125, 0, -0.03125}, 1e-7);
}

TEST(ScaleGates, AZeroGateSilencesTheChannelWithItsShift) {
  auto net = net_of({3, 4}, 2);
  net->parameter("1.bias").value.value().fill_(0.7);
  const Gates gates(*net, {}, {3, 4, 4});
  EXPECT_EQ(net->parameter("1.bias").value.value().to_vector<double>(), std::vector<double>(4, 0));
  EXPECT_EQ(net->parameter("1.weight").value.value().to_vector<double>(),
            std::vector<double>(4, 0.5));
}

/// Looks at the network after every step.
class Looks : public nn::TrainHook {
 public:
  explicit Looks(std::function<void(nn::TrainState&)> look) : look_(std::move(look)) {}
  void after_step(nn::TrainState& state) override { look_(state); }

 private:
  std::function<void(nn::TrainState&)> look_;
};

std::vector<int64_t> train(nn::Module& net,
                           const Options& options,
                           const std::function<void(nn::TrainState&)>& look,
                           uint64_t seed = 4) {
  auto hook = make_pruner("pruning-from-scratch",
                          parse_settings(method("pruning-from-scratch"), options),
                          {.input_shape = {3, 8, 8}, .seed = seed});
  nn::Sgd sgd(net, {.lr = 0.02, .momentum = 0.9}, 1e-2);
  auto loader = testing::tiny_loader();
  Looks looks(look);
  nn::fit(net, sgd, nn::ConstantLr(0.02), *loader, {hook.get(), &looks}, {.epochs = 6});
  std::vector<int64_t> widths;
  for (const nn::NamedParameter& one : net.named_parameters()) {
    if (one.name.ends_with("1.weight") || one.name.ends_with("4.weight")) {
      widths.push_back(one.parameter->nnz());
    }
  }
  return widths;
}

TEST(PruningFromScratch, TrainsGatesAloneAndThenDrawsAllWeightsAnew) {
  // 24 steps; gates for 12. Trap: weights that were trained with the gates, or gates that stay.
  auto net = testing::tiny_conv_net();
  const auto values = [](nn::Module& model) {
    std::map<std::string, std::vector<double>> all;
    for (const nn::NamedParameter& one : model.named_parameters()) {
      all[one.name] = one.parameter->value.value().to_vector<double>();
    }
    return all;
  };
  const auto first = values(*net);
  train(*net, {{"sparsity", "0.5"}, {"prune-at", "0.5"}, {"gate-lr", "0.2"}}, [&](auto& state) {
    if (state.step >= 12) return;
    for (const auto& [name, now] : values(state.model)) {
      const bool is_gate = name == "1.weight" || name == "4.weight";
      if (!is_gate) {
        EXPECT_EQ(now, first.at(name)) << name << " at " << state.step;
      } else {
        EXPECT_TRUE(std::ranges::all_of(now, [](double g) { return g >= 0.0 && g <= 0.5; }));
      }
    }
  });
  // The same training of new weights under these masks, without gates.
  auto other = testing::tiny_conv_net();
  train(
      *other, {{"sparsity", "0.5"}, {"prune-at", "1"}, {"gate-lr", "0.2"}}, [](nn::TrainState&) {});
  nn::init_parameters(*other, 4 + 1);
  auto fresh = testing::tiny_conv_net();
  nn::init_parameters(*fresh, 4 + 1);
  for (const nn::NamedParameter& one : other->named_parameters()) {
    const std::vector<int> mask = mask_of(*one.parameter);
    std::vector<double> expected = fresh->parameter(one.name).value.value().to_vector<double>();
    for (size_t i = 0; i < mask.size(); ++i) expected[i] *= mask[i];
    EXPECT_EQ(one.parameter->value.value().to_vector<double>(), expected) << one.name;
  }
}

TEST(PruningFromScratch, WhatIsTrainedDoesNotDependOnTheGatesValues) {
  // With all gates at 1 the widths are the same whatever the strength; so is what follows.
  const auto end_of = [](const std::string& strength) {
    auto net = testing::tiny_conv_net();
    train(*net,
          {{"sparsity", "0.5"}, {"prune-at", "0"}, {"lambda", strength}},
          [](nn::TrainState&) {});
    return net->parameter("7.weight").value.value().to_vector<double>();
  };
  EXPECT_EQ(end_of("0.5"), end_of("5"));
}

TEST(PruningFromScratch, StatisticsMoveWhileGatesLearnAndBeginAfresh) {
  // Trap: norms that do not train still see the batches; what they have seen is not the new
  // network's.
  auto net = testing::tiny_conv_net();
  const auto statistics = [](nn::Module& model) {
    return model.state_dict().at("1.running_mean").to_vector<double>();
  };
  const std::vector<double> fresh = statistics(*net);
  int64_t moved = 0;
  train(*net, {{"sparsity", "0.5"}, {"prune-at", "1"}}, [&](nn::TrainState& state) {
    moved += statistics(state.model) != fresh ? 1 : 0;
  });
  EXPECT_EQ(moved, 24);
  EXPECT_EQ(statistics(*net), fresh);
}

TEST(PruningFromScratch, ChannelsWhoseGateIsZeroStayWhereFewGo) {
  // Trap: the number is that of the channels, not of the gates that are zero; a channel of a closed
  // gate that stays is a living one of the new network.
  auto net = testing::tiny_conv_net();
  int64_t closed = 0;
  train(*net,
        {{"sparsity", "0.25"},
         {"prune-at", "0.5"},
         {"gate-lr", "0.5"},
         {"lambda", "100"},
         {"gate-share", "0"}},
        [&](nn::TrainState& state) {
          if (state.step > 12 || closed > 6) return;
          closed = 0;
          for (const char* name : {"1.weight", "4.weight"}) {
            const auto gates = state.model.parameter(name).value.value().to_vector<double>();
            closed += std::ranges::count(gates, 0.0);
          }
        });
  EXPECT_GT(closed, 6);
  int64_t kept = 0;
  for (const char* name : {"1.weight", "4.weight"}) {
    const nn::Parameter& scale = net->parameter(name);
    const std::vector<int> mask = mask_of(scale);
    const auto values = scale.value.value().to_vector<double>();
    for (size_t c = 0; c < mask.size(); ++c) {
      EXPECT_EQ(values[c] != 0.0, mask[c] == 1) << name << " " << c;
    }
    kept += scale.nnz();
  }
  EXPECT_EQ(kept, 18);
}

TEST(PruningFromScratch, KeepsAChannelOfEveryLayer) {
  auto net = testing::tiny_conv_net();
  const std::vector<int64_t> widths =
      train(*net,
            {{"sparsity", "0.91"}, {"prune-at", "0.5"}, {"gate-lr", "0.5"}, {"lambda", "100"}},
            [](nn::TrainState&) {});
  for (const int64_t width : widths) EXPECT_GE(width, 1);
}

TEST(PruningFromScratch, AHalfOfTheCostLeavesTheWidthsOfTheHandWorkedExample) {
  // Widths 4 and 4 of 3x3 kernels on 4x4 positions, 144 c1 (3 + c2) + c2 multiply-accumulates.
  auto net = net_of({3, 4, 4}, 1);
  set_gates(*net, "1.weight", {0.9, 0.2, 0.6, 0.1});
  set_gates(*net, "4.weight", {0.8, 0.7, 0.05, 0.3});
  const auto hook =
      make_pruner("pruning-from-scratch",
                  parse_settings(method("pruning-from-scratch"), {{"target", "macs=0.5"}}),
                  {.input_shape = {3, 4, 4}, .seed = 4});
  hook->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{1, 0, 1, 0}));
  EXPECT_EQ(mask_of(net->parameter("4.weight")), (std::vector<int>{1, 1, 0, 1}));
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/pruning_from_scratch.inc>
  };
  return values;
}

TEST(PruningFromScratchOracle, GatesOfFiveStepsAreThoseOfPyTorch) {
  auto net = net_of({2, 4, 3}, 3);
  net->to(DType::F64);
  for (const char* name : {"0.weight", "3.weight", "8.weight", "8.bias"}) {
    net->parameter(name).value.value().copy_(
        Tensor::from(net->parameter(name).shape(), oracle().at(name)));
  }
  Gates gates(*net, {.strength = 0.2, .share = 0.3, .rate = 0.2}, {2, 4, 4});
  for (int step = 0; step < 5; ++step) {
    const std::vector<double>& labels = oracle().at(cat("labels ", step));
    gates.step([&] {
      return cross_entropy(
          (*net)(Variable(Tensor::from({6, 2, 4, 4}, oracle().at(cat("x ", step))))),
          Tensor::from({6}, std::vector<int64_t>(labels.begin(), labels.end())));
    });
    std::vector<double> found;
    for (const char* norm : {"1.weight", "4.weight"}) {
      for (double scale : net->parameter(norm).value.value().to_vector<double>()) {
        found.push_back(2.0 * scale);
      }
    }
    expect_near(Tensor::from({7}, found), oracle().at(cat("gates ", step)), kOracle);
  }
}

}  // namespace
}  // namespace espalier::prune
