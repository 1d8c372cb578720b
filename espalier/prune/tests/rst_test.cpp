// SPDX-License-Identifier: Apache-2.0
/// RST: the derived decay, PyTorch's steps (oracles/rst.py), what a transformation reaches, and the
/// traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::linear_chain;
using testing::mask_of;
using testing::Options;

constexpr double kOracle = 1e-9;

/// A mask update to masks that are given.
class GivenMasks : public Action {
 public:
  explicit GivenMasks(std::map<std::string, Tensor> masks) : masks_(std::move(masks)) {}
  UpdateReport update(const Subject& subject, std::span<const Moment>, UpdateNumber) override {
    for (const auto& [name, mask] : masks_) subject.model.parameter(name).set_mask(mask);
    return {};
  }

 private:
  std::map<std::string, Tensor> masks_;
};

/// Steps under a growing decay, as `fit` makes them, and nothing else.
void train(nn::Module& net,
           nn::Optimizer& sgd,
           Action& decay,
           int64_t steps,
           const std::function<Variable(int64_t)>& loss) {
  const LayerPatterns pattern(make_pattern("unstructured"));
  const PruneSettings settings;
  const PruneInputs inputs;
  const Subject subject{net, &sgd, pattern, settings, inputs};
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = steps};
  decay.enter(subject, state);
  for (; state.step < steps; ++state.step) {
    net.zero_grad();
    loss(state.step).backward();
    decay.after_backward(subject, state);
    sgd.step();
  }
}

TEST(GrowDecay, WithoutDataAWeightShrinksByTheProductOfItsRates) {
  auto net = linear_chain({{{1, 2}, {3, -4}}});
  net->to(DType::F64);
  nn::Sgd sgd(*net, {.lr = 0.1}, 0.05);
  const auto decay = grow_decay({.until = 0.5, .strength = 2.0},
                                std::make_shared<GivenMasks>(std::map<std::string, Tensor>{
                                    {"0.weight", Tensor::from<uint8_t>({1, 2}, {0, 1})}}),
                                Sparsity(0.5));
  const Variable zeros(Tensor::zeros({1, 2}, DType::F64));
  train(*net, sgd, *decay, 8, [&](int64_t) { return sum((*net)(zeros)); });
  double goes = 3.0;
  double stays = -4.0;
  for (int step = 0; step < 8; ++step) {
    goes *= 1.0 - 0.1 * (2.0 * std::min(step / 4.0, 1.0) + 0.05);
    stays *= 1.0 - 0.1 * 0.05;
  }
  expect_near(net->parameter("0.weight").value.value(), {goes, stays}, 1e-12);
}

TEST(Rst, RemovesWhatItChoseAtTheBeginningAndNothingElse) {
  // Trap: a choice by size, after the penalty, would be another one where the penalty was short.
  const Options options = {{"sparsity", "0.5"}, {"prune-at", "0.5"}, {"strength", "0"}};
  std::vector<std::vector<int>> masks;
  for (const bool changed : {false, true}) {
    auto net = testing::tiny_mlp();
    if (changed) net->parameter("3.weight").value.value().fill_(0.1);
    auto hook = make_pruner("rst", parse_settings(method("rst"), options), {.seed = 4});
    nn::Sgd sgd(*net, {.lr = 0.1});
    auto loader = testing::tiny_loader();
    nn::fit(*net, sgd, nn::ConstantLr(0.1), *loader, {hook.get()}, {.epochs = 2});
    masks.push_back(mask_of(net->parameter("3.weight")));
  }
  EXPECT_EQ(masks[0], masks[1]);
}

class AtStep : public nn::TrainHook {
 public:
  AtStep(int64_t step, std::function<void(nn::Module&)> look)
      : step_(step), look_(std::move(look)) {}
  void after_step(nn::TrainState& state) override {
    if (state.step == step_) look_(state.model);
  }

 private:
  int64_t step_;
  std::function<void(nn::Module&)> look_;
};

TEST(Rst, BringsWhatGoesToNothingSoThatRemovingItChangesNothing) {
  auto net = testing::tiny_mlp();
  auto hook =
      make_pruner("rst",
                  parse_settings(method("rst"),
                                 {{"sparsity", "0.7"}, {"prune-at", "0.8"}, {"strength", "400"}}),
                  {.seed = 4});
  nn::Sgd sgd(*net, {.lr = 0.004});
  auto loader = testing::tiny_loader();
  std::map<std::string, std::vector<double>> before;
  std::unique_ptr<nn::Module> whole;
  // Of 100 steps the one numbered 80 is the first with the mask.
  AtStep look(79, [&](nn::Module& model) {
    for (const nn::NamedParameter& one : prunable_weights(model)) {
      EXPECT_FALSE(one.parameter->masked()) << one.name;
      before[one.name] = one.parameter->value.value().to_vector<double>();
    }
    whole = model.clone();
  });
  nn::fit(*net, sgd, nn::ConstantLr(0.004), *loader, {hook.get(), &look}, {.epochs = 25});
  const double loss = nn::evaluate(*whole, *testing::tiny_loader()).loss;
  for (const nn::NamedParameter& one : prunable_weights(*net)) {
    const std::vector<int> mask = mask_of(*one.parameter);
    double goes = 0.0;
    double stays = 0.0;
    for (size_t i = 0; i < mask.size(); ++i) {
      (mask[i] == 0 ? goes : stays) += before.at(one.name)[i] * before.at(one.name)[i];
    }
    EXPECT_LT(std::sqrt(goes / stays), 1e-2) << one.name;
    whole->parameter(one.name).set_mask(one.parameter->mask());
    EXPECT_EQ(one.parameter->nnz(), kept_count(one.parameter->numel(), Sparsity(0.7))) << one.name;
  }
  EXPECT_NEAR(nn::evaluate(*whole, *testing::tiny_loader()).loss / loss, 1.0, 0.01);
}

TEST(Rst, InCyclesRemovesTheSameShareOfWhatIsThere) {
  auto net = testing::tiny_mlp();
  auto hook = make_pruner(
      "rst",
      parse_settings(method("rst"), {{"sparsity", "0.75"}, {"cycles", "2"}, {"prune-at", "0.5"}}),
      {.seed = 4});
  nn::Sgd sgd(*net, {.lr = 0.05});
  auto loader = testing::tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {hook.get()}, {.epochs = 4});
  ASSERT_EQ(hook->updates().size(), 2U);
  EXPECT_EQ(hook->updates()[0].step, 4);
  EXPECT_NEAR(hook->updates()[0].sparsity().value(), 0.5, 1e-3);
  EXPECT_EQ(hook->updates()[1].step, 8);
  EXPECT_NEAR(hook->updates()[1].sparsity().value(), 0.75, 1e-3);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/rst.inc>
  };
  return values;
}

TEST(RstOracle, SixStepsAreThoseOfPyTorch) {
  nn::Sequential net;
  net.add(nn::Linear({.in = 5, .out = 6, .bias = false}));
  net.add(nn::ReLU());
  net.add(nn::Linear({.in = 6, .out = 3, .bias = false}));
  net.to(DType::F64);
  std::map<std::string, Tensor> masks;
  for (const nn::NamedParameter& one : prunable_weights(net)) {
    const Shape shape = one.parameter->shape();
    one.parameter->value.value().copy_(Tensor::from(shape, oracle().at(one.name)));
    const std::vector<double>& mask = oracle().at("mask " + one.name);
    masks[one.name] = Tensor::from(shape, std::vector<uint8_t>(mask.begin(), mask.end()));
  }
  nn::Sgd sgd(net, {.lr = 0.1, .momentum = 0.9}, 1e-2);
  const auto decay = grow_decay({.until = 5.0 / 6.0, .strength = 0.8, .power = 2.0},
                                std::make_shared<GivenMasks>(masks),
                                Sparsity(0.5));
  train(net, sgd, *decay, 6, [&](int64_t step) {
    const std::vector<double>& labels = oracle().at(cat("labels ", step));
    return cross_entropy(net(Variable(Tensor::from({4, 5}, oracle().at(cat("x ", step))))),
                         Tensor::from({4}, std::vector<int64_t>(labels.begin(), labels.end())));
  });
  for (const nn::NamedParameter& one : prunable_weights(net)) {
    expect_near(one.parameter->value.value(), oracle().at("after " + one.name), kOracle);
  }
}

}  // namespace
}  // namespace espalier::prune
