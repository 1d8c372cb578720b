// SPDX-License-Identifier: Apache-2.0
/// edge-popup: the hand-worked example, two steps beside PyTorch (oracles/edge_popup.py), and the
/// traps. The form is tested in nn/tests.
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/select.h>
#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_mlp;

constexpr double kTolerance = 1e-6;
constexpr double kOracleTolerance = 1e-5;  // of two steps in float32

std::unique_ptr<Pruner> edge_popup(const std::map<std::string, std::string>& options) {
  return make_pruner("edge-popup", parse_settings(method("edge-popup"), options), {.seed = 3});
}

nn::Supermask& form_on(nn::Module& net, const std::string& weight) {
  return dynamic_cast<nn::Supermask&>(*nn::form_site(net, weight).form());
}

std::vector<double> numbers(const Tensor& tensor) {
  return tensor.to_vector<double>();
}

void set(nn::Parameter& parameter, const std::vector<double>& values) {
  parameter.value.value().copy_(Tensor::from(parameter.shape(), values).to(DType::F32));
}

void expect_near(const Tensor& got, const std::vector<double>& expected, double tolerance) {
  const std::vector<double> values = numbers(got);
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], tolerance) << i;
}

/// A step as fit makes it. Returns the loss.
double step(nn::Module& net, Pruner& hook, nn::Optimizer& sgd, const std::function<Variable()>& f) {
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  hook.before_step(state);
  net.zero_grad();
  const Variable loss = f();
  loss.backward();
  hook.after_backward(state);
  sgd.step();
  hook.after_step(state);
  return loss.item();
}

void finish(nn::Module& net, Pruner& hook, nn::Optimizer& sgd) {
  nn::TrainState state{.model = net, .optimizer = sgd, .step = 10, .total_steps = 10};
  hook.end_of_training(state);
}

// w = (.5, -1), s = (.2, .1), half of two, x = 1: y = .5; ds = (.5, -1); after a step of rate 1 s =
// (-.3, 1.1), and the other weight is in use.
TEST(EdgePopup, MatchesTheHandWorkedExample) {
  auto net = linear_chain({{{1, 2}, {0.5F, -1}}});
  auto hook = edge_popup({{"sparsity", "0.5"}, {"start", "present"}});
  hook->attach(*net);
  nn::Supermask& form = form_on(*net, "0.weight");
  EXPECT_EQ(form.kept(), 1);
  set(form.scores, {0.2, 0.1});
  nn::Sgd sgd(*net, {.lr = 1.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  const Variable x(Tensor::ones({1, 2}));
  EXPECT_EQ(step(*net, *hook, sgd, [&] { return (*net)(x); }), 0.5);
  expect_near(form.scores.value.value(), {-0.3, 1.1}, kTolerance);
  EXPECT_EQ((*net)(x).item(), -1.0);
  finish(*net, *hook, sgd);
  EXPECT_FALSE(nn::has_forms(*net));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 1}));
  EXPECT_EQ(numbers(net->parameter("0.weight").value.value()), (std::vector<double>{0, -1}));
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/edge_popup.inc>
  };
  return values;
}

TEST(EdgePopup, TwoStepsAreThoseOfPyTorch) {
  nn::Sequential net;
  net.add(
      nn::Conv2d({.in_channels = 2, .out_channels = 3, .kernel = 3, .padding = 1, .bias = false}));
  net.add(nn::BatchNorm2d({.channels = 3}));
  net.add(nn::ReLU());
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 27, .out = 3}));
  const std::vector<std::string> layers = {"0", "4"};
  for (const std::string& layer : layers) {
    set(net.parameter(layer + ".weight"), oracle().at(layer + ".raw"));
  }
  set(net.parameter("4.bias"), oracle().at("bias"));
  auto hook = edge_popup({{"sparsity", "0.6"}});
  hook->attach(net);
  for (const std::string& layer : layers) {
    std::vector<double> expected = oracle().at(layer + ".raw");
    for (double& w : expected) w = std::copysign(oracle().at(layer + ".size")[0], w);
    expect_near(net.parameter(layer + ".weight").value.value(), expected, kTolerance);
    set(form_on(net, layer + ".weight").scores, oracle().at(layer + ".start"));
  }
  nn::Sgd sgd(net, {.lr = 0.1, .momentum = 0.9}, /*weight_decay=*/1e-2);
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  for (const std::string number : {"0", "1"}) {
    const Variable images(
        Tensor::from({4, 2, 3, 3}, oracle().at("images." + number)).to(DType::F32));
    const Tensor labels = Tensor::from({4}, oracle().at("labels." + number)).to(DType::I64);
    const double loss = step(net, *hook, sgd, [&] { return cross_entropy(net(images), labels); });
    EXPECT_NEAR(loss, oracle().at("loss." + number)[0], kOracleTolerance);
  }
  for (const std::string& layer : layers) {
    expect_near(form_on(net, layer + ".weight").scores.value.value(),
                oracle().at(layer + ".scores"),
                kOracleTolerance);
  }
  finish(net, *hook, sgd);
  for (const std::string& layer : layers) {
    const std::vector<int> mask = mask_of(net.parameter(layer + ".weight"));
    const std::vector<double>& expected = oracle().at(layer + ".mask");
    EXPECT_EQ(std::vector<double>(mask.begin(), mask.end()), expected);
  }
}

/// Copies all that is not a score in every step.
class Frozen : public nn::TrainHook {
 public:
  void before_training(nn::TrainState& state) override { first_ = all(state.model); }
  void after_step(nn::TrainState& state) override {
    EXPECT_EQ(all(state.model), first_);
    for (const nn::FormSite& site : nn::form_sites(state.model)) {
      const int64_t kept = site.form()->support(*site.slot.parameter)->nnz();
      EXPECT_EQ(kept, kept_count(site.slot.parameter->numel(), Sparsity(0.7))) << site.weight;
    }
    ++steps;
  }
  int steps = 0;

 private:
  static std::map<std::string, std::vector<double>> all(nn::Module& model) {
    std::map<std::string, std::vector<double>> out;
    for (const nn::NamedParameter& p : model.named_parameters()) {
      if (!p.name.ends_with("form.scores")) out[p.name] = numbers(p.parameter->value.value());
    }
    return out;
  }
  std::map<std::string, std::vector<double>> first_;
};

// Traps: weights, biases and batch norm's scales and shifts must not train, and the number in use
// is exact in every layer and step.
TEST(EdgePopup, NothingButScoresIsTrainedAndTheNumberInUseIsExact) {
  auto net = tiny_conv_net();
  auto hook = edge_popup({{"sparsity", "0.7"}});
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9}, /*weight_decay=*/0.1);
  auto loader = tiny_loader();
  Frozen frozen;
  nn::fit(*net,
          sgd,
          nn::ConstantLr(0.1),
          *loader,
          {hook.get(), &frozen},
          {.epochs = 2, .clip_grad_norm = 1.0});
  EXPECT_EQ(frozen.steps, 8);
  EXPECT_EQ(hook->updates().back().layers[1].kept, kept_count(16 * 8 * 9, Sparsity(0.7)));
}

// Trap: the kept fraction scales the weights, not the removed one.
TEST(EdgePopup, InitialWeightsHaveTheSizeThatTheKeptFractionAsksFor) {
  for (const auto& [unscaled, expected] : std::vector<std::pair<std::string, double>>{
           {"false", std::sqrt(2.0 / (0.25 * 192))}, {"true", std::sqrt(2.0 / 192)}}) {
    auto net = tiny_mlp();
    const std::vector<double> before = numbers(net->parameter("1.weight").value.value());
    edge_popup({{"sparsity", "0.75"}, {"unscaled", unscaled}})->attach(*net);
    const std::vector<double> after = numbers(net->parameter("1.weight").value.value());
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_NEAR(after[i], std::copysign(expected, before[i]), kTolerance);
    }
    auto normal = tiny_mlp();
    edge_popup({{"sparsity", "0.75"}, {"unscaled", unscaled}, {"start", "kaiming-normal"}})
        ->attach(*normal);
    double square = 0.0;
    const std::vector<double> drawn = numbers(normal->parameter("1.weight").value.value());
    for (const double w : drawn) square += w * w / static_cast<double>(drawn.size());
    EXPECT_NEAR(std::sqrt(square) / expected, 1.0, 0.05);
  }
}

// Trap: without gradients to what is out, nothing would ever come in.
TEST(EdgePopup, ScoresThatAreOutLearnAndComeIn) {
  auto net = tiny_mlp();
  auto hook = edge_popup({{"sparsity", "0.5"}});
  hook->attach(*net);
  const nn::Supermask& form = form_on(*net, "3.weight");
  const Tensor first = nn::largest_mask(form.scores.value.value(), form.kept());
  nn::Sgd sgd(*net, {.lr = 0.5, .momentum = 0.9}, 0.0);
  auto loader = tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.5), *loader, {hook.get()}, {.epochs = 4});
  const std::vector<int> last = mask_of(net->parameter("3.weight"));
  int64_t came = 0;
  for (size_t i = 0; i < last.size(); ++i) {
    came += last[i] == 1 && first.data<uint8_t>()[i] == 0 ? 1 : 0;
  }
  EXPECT_GT(came, 0);
}

TEST(EdgePopup, LayersHaveScoresOfTheirOwnThatFollowTheSeed) {
  const auto scores = [](uint64_t seed) {
    auto net = linear_chain(
        {{{4, 4}, std::vector<float>(16, 1.0F)}, {{4, 4}, std::vector<float>(16, 1.0F)}});
    make_pruner("edge-popup", parse_settings(method("edge-popup"), {}), {.seed = seed})
        ->attach(*net);
    return std::pair(numbers(form_on(*net, "0.weight").scores.value.value()),
                     numbers(form_on(*net, "1.weight").scores.value.value()));
  };
  const auto first = scores(1);
  EXPECT_NE(first.first, first.second);
  EXPECT_EQ(scores(1), first);
  EXPECT_NE(scores(2), first);
  for (const double s : first.first) EXPECT_LE(std::abs(s), 0.5);  // 1 / sqrt(fan)
}

TEST(EdgePopup, KeepsWhatLayersAreGivenAndRefusesCuts) {
  auto net = tiny_mlp();
  edge_popup({{"sparsity", "0.5"}, {"layer-sparsity", "3.weight=0.25"}})->attach(*net);
  EXPECT_EQ(form_on(*net, "1.weight").kept(), 192 * 24 / 2);
  EXPECT_EQ(form_on(*net, "3.weight").kept(), 24 * 12 * 3 / 4);
  auto empty = tiny_mlp();
  auto hook = edge_popup({{"sparsity", "1"}});
  nn::Sgd sgd(*empty, {.lr = 0.1});
  auto loader = tiny_loader();
  EXPECT_THROW(nn::fit(*empty, sgd, nn::ConstantLr(0.1), *loader, {hook.get()}, {.epochs = 1}),
               ValueError);
}

}  // namespace
}  // namespace espalier::prune
