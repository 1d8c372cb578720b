// SPDX-License-Identifier: Apache-2.0
/// The training that hard concrete gates are in: gradients, prices, bounds, what the model holds.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_mlp;

std::unique_ptr<Pruner> l0_pruner(const std::map<std::string, std::string>& given) {
  return make_pruner(
      "l0", parse_settings(method("l0"), given), {.input_shape = {3, 8, 8}, .seed = 6});
}

void train(nn::Module& net,
           const std::vector<nn::TrainHook*>& hooks,
           double lr = 0.0,
           double weight_decay = 0.0) {
  nn::Sgd sgd(net, {.lr = std::max(lr, 1e-12), .momentum = 0.9}, weight_decay);
  auto loader = tiny_loader();
  nn::fit(net, sgd, nn::ConstantLr(lr), *loader, hooks, {.epochs = 2});
}

std::vector<double> log_alphas(const Pruner& pruner, const std::string& site) {
  return pruner.state().at("event.0.log_alpha." + site).to_vector<double>();
}

/// Keeps the gates and weights after the first step of a training without learning.
class FirstStep : public nn::TrainHook {
 public:
  explicit FirstStep(const Pruner& pruner) : pruner_(pruner) {}
  void before_training(nn::TrainState& s) override {
    weight = s.model.parameter("3.weight").value.value().to_vector<double>();
    start = log_alphas(pruner_, "3.weight");
  }
  void after_backward(nn::TrainState& s) override {
    if (s.step == 0) first_loss = s.step_loss;
  }
  void after_step(nn::TrainState& s) override {
    if (s.step != 1) return;
    latent = pruner_.state().at("event.0.weight.3.weight").to_vector<double>();
    folded = s.model.parameter("3.weight").value.value().to_vector<double>();
    gates = log_alphas(pruner_, "3.weight");
  }
  std::vector<double> weight, start, latent, folded, gates;
  double first_loss = 0.0;

 private:
  const Pruner& pruner_;
};

TEST(L0, BetweenStepsTheModelHoldsTestTimeGatesAndTheStateTheWeights) {
  auto net = tiny_mlp();
  auto pruner = l0_pruner({{"lambda", "1"}});
  FirstStep step(*pruner);
  train(*net, {pruner.get(), &step});
  ASSERT_EQ(step.latent.size(), step.folded.size());
  for (size_t i = 0; i < step.latent.size(); ++i) {
    EXPECT_EQ(step.latent[i], step.weight[i]);  // the rate is 0
    EXPECT_NEAR(
        step.folded[i], step.weight[i] * nn::hard_concrete::expected_gate(step.gates[i]), 1e-6);
  }
}

TEST(L0, GatesStartAtTheDropRateAndAPriceClosesThem) {
  auto net = tiny_mlp();
  auto pruner = l0_pruner({{"drop-rate", "0.3"}, {"lambda", "1e6"}, {"gate-lr", "0.1"}});
  FirstStep step(*pruner);
  train(*net, {pruner.get(), &step});
  double mean = 0.0;
  for (size_t i = 0; i < step.start.size(); ++i) {
    mean += step.start[i] / static_cast<double>(step.start.size());
    // Adam's first step is its rate, against the gradient's sign: the price outweighs the loss.
    EXPECT_NEAR(step.gates[i], step.start[i] - 0.1, 1e-4);
  }
  EXPECT_NEAR(mean, 0.8472979, 0.005);
}

TEST(L0, ClosedGatesAndOnlyThoseGoWhenZerosAreAskedFor) {
  // 4 steps of 1.5 against a price: log alpha from 0 to its lower end, all gates closed.
  auto net = tiny_mlp();
  auto all = l0_pruner({{"lambda", "1e6"}, {"gate-lr", "1.5"}, {"select", "zeros"}});
  EXPECT_THROW(train(*net, {all.get()}), ValueError);  // layer collapse, by name
  auto open = tiny_mlp();
  auto none = l0_pruner({{"lambda", "0"}, {"gate-lr", "0"}, {"select", "zeros"}});
  train(*open, {none.get()});
  EXPECT_EQ(open->parameter("3.weight").nnz(), 24 * 12);
}

TEST(L0, ChannelGatesMultiplyTheWeightsThatReadTheChannel) {
  auto net = tiny_conv_net();
  auto pruner = l0_pruner({{"pattern", "channel"}, {"sparsity", "0.5"}});
  FirstStep step(*pruner);
  class Gates : public nn::TrainHook {
   public:
    explicit Gates(const Pruner& pruner) : pruner_(pruner) {}
    void after_step(nn::TrainState& s) override {
      if (s.step != 1) return;
      gates = log_alphas(pruner_, "0.weight");
      readers = s.model.parameter("3.weight").value.value().to_vector<double>();
      latent = pruner_.state().at("event.0.weight.3.weight").to_vector<double>();
    }
    std::vector<double> gates, readers, latent;

   private:
    const Pruner& pruner_;
  } gates(*pruner);
  train(*net, {pruner.get(), &gates});
  ASSERT_EQ(gates.gates.size(), 8U);
  for (size_t i = 0; i < gates.readers.size(); ++i) {
    const double gate = nn::hard_concrete::expected_gate(gates.gates[i / 9 % 8]);
    EXPECT_NEAR(gates.readers[i], gates.latent[i] * gate, 1e-6);
  }
  // Exact: half of the weights of both groups, global.
  EXPECT_TRUE(net->parameter("1.weight").masked() || net->parameter("4.weight").masked());
}

/// The state at the start, the loss of the first step, and Adam's first mean, 0.1 of the gradient.
class Probe : public nn::TrainHook {
 public:
  explicit Probe(const Pruner& pruner) : pruner_(pruner) {}
  void before_training(nn::TrainState&) override {
    for (const auto& [name, tensor] : pruner_.state()) start[name] = tensor.clone();
  }
  void after_backward(nn::TrainState& s) override {
    if (s.step == 0) loss = s.step_loss;
  }
  void after_step(nn::TrainState& s) override {
    if (s.step != 1) return;
    for (const auto& [name, tensor] : pruner_.state()) {
      if (name.ends_with("exp_avg")) mean[name] = tensor.to_vector<double>();
    }
  }
  std::map<std::string, Tensor> start;
  std::map<std::string, std::vector<double>> mean;
  double loss = 0.0;

 private:
  const Pruner& pruner_;
};

TEST(L0, GradientsOfGatesMatchFiniteDifferencesOfTheLossWithTheSameNoise) {
  // Batch norm undoes a gate on filters, so these are looked at without.
  const auto net_of = [](const std::string& pattern) -> std::unique_ptr<nn::Sequential> {
    return pattern == "filter" ? tiny_mlp() : tiny_conv_net();
  };
  for (const std::string pattern : {"unstructured", "channel", "filter"}) {
    const std::map<std::string, std::string> given = {
        {"lambda", "0"}, {"gate-decay", "0"}, {"pattern", pattern}, {"sparsity", "0.5"}};
    auto net = net_of(pattern);
    auto pruner = l0_pruner(given);
    Probe probe(*pruner);
    train(*net, {pruner.get(), &probe});
    for (const std::string site : {pattern == "filter" ? "1.weight" : "0.weight", "3.weight"}) {
      const std::vector<double>& mean = probe.mean.at("event.0.adam." + site + ".exp_avg");
      double slope = 0.0;
      for (double m : mean) slope += std::abs(m) / 0.1;
      ASSERT_GT(slope, 1e-2);
      constexpr double kStep = 2e-3;
      double losses[2] = {};
      for (int side = 0; side < 2; ++side) {
        std::map<std::string, Tensor> state;
        for (const auto& [name, tensor] : probe.start) state[name] = tensor.clone();
        float* a = state.at("event.0.log_alpha." + site).data<float>();
        for (size_t i = 0; i < mean.size(); ++i) {
          const double sign = static_cast<double>((mean[i] > 0.0) - (mean[i] < 0.0));
          a[i] += static_cast<float>((side == 0 ? -kStep : kStep) * sign);
        }
        auto again = net_of(pattern);
        auto moved = l0_pruner(given);
        moved->load_state(state);
        Probe second(*moved);
        train(*again, {moved.get(), &second});
        losses[side] = second.loss;
      }
      EXPECT_NEAR((losses[1] - losses[0]) / (2 * kStep) / slope, 1.0, 0.03) << pattern << site;
    }
  }
}

/// The gradient of the gates of `site` in the first step, out of Adam's first mean.
std::vector<double> first_gradient(std::map<std::string, std::string> given,
                                   const std::string& site,
                                   std::vector<double>& start) {
  auto net = tiny_conv_net();
  given.insert({"sparsity", "0.5"});
  auto pruner = l0_pruner(given);
  Probe probe(*pruner);
  train(*net, {pruner.get(), &probe});
  start = probe.start.at("event.0.log_alpha." + site).to_vector<double>();
  std::vector<double> out = probe.mean.at("event.0.adam." + site + ".exp_avg");
  for (double& value : out) value /= 0.1;
  return out;
}

// d/d log alpha of the penalty = lambda / N * |g| * p (1 - p), N the training set's size.
TEST(L0, ThePriceOfAGateIsThatOfItsWeights) {
  constexpr double kSamples = 64.0;
  ASSERT_EQ(tiny_loader()->dataset().size(), 64);
  for (const auto& [pattern, site, weights] :
       std::vector<std::tuple<std::string, std::string, double>>{
           {"unstructured", "3.weight", 1.0},
           // Channels of the first convolution: what reads one in the second.
           {"channel",
            "0.weight",
            9.0 * static_cast<double>(tiny_conv_net()->parameter("3.weight").shape()[0])}}) {
    std::vector<double> start;
    const std::map<std::string, std::string> base = {{"pattern", pattern}, {"gate-decay", "0"}};
    auto priced = base;
    priced["lambda"] = "400";
    const auto without = [&] {
      auto free = base;
      free["lambda"] = "0";
      return first_gradient(free, site, start);
    }();
    const auto with = first_gradient(priced, site, start);
    ASSERT_EQ(with.size(), start.size());
    for (size_t i = 0; i < with.size(); ++i) {
      const double p = nn::hard_concrete::probability_open(start[i]);
      const double expected = 400.0 / kSamples * weights * p * (1.0 - p);
      EXPECT_NEAR(with[i] - without[i], expected, 2e-3 * expected) << pattern << i;
    }
  }
}

/// What the first step does to the weights under the gates.
class FirstMove : public nn::TrainHook {
 public:
  explicit FirstMove(const Pruner& pruner) : pruner_(pruner) {}
  void before_step(nn::TrainState& s) override {
    if (s.step != 0) return;
    gates = log_alphas(pruner_, "3.weight");
    before = pruner_.state().at("event.0.weight.3.weight").to_vector<double>();
    product = s.model.parameter("3.weight").value.value().to_vector<double>();
  }
  void after_step(nn::TrainState& s) override {
    if (s.step == 1) after = pruner_.state().at("event.0.weight.3.weight").to_vector<double>();
  }
  std::vector<double> gates, before, product, after;

 private:
  const Pruner& pruner_;
};

/// The gradient that the backward pass leaves, before the pruner sees it.
class RawGradient : public nn::TrainHook {
 public:
  void after_backward(nn::TrainState& s) override {
    if (s.step == 0)
      gradient = s.model.parameter("3.weight").value.grad().value().to_vector<double>();
  }
  std::vector<double> gradient;
};

TEST(L0, WeightsGetTheirGateTimesTheGradientAndTheExpectedDecayAlone) {
  constexpr double kRate = 0.1;
  constexpr double kDecay = 0.3;
  auto net = tiny_mlp();
  auto pruner = l0_pruner({{"gate-decay", "0.3"}, {"lambda", "1"}});
  RawGradient raw;
  FirstMove move(*pruner);
  train(*net, {&raw, pruner.get(), &move}, kRate, 0.7);  // the optimizer's decay must not act
  ASSERT_EQ(move.after.size(), move.before.size());
  int64_t closed = 0;
  for (size_t i = 0; i < move.after.size(); ++i) {
    const double w = move.before[i];
    const double z = move.product[i] / w;
    closed += z == 0.0 ? 1 : 0;
    const double p = nn::hard_concrete::probability_open(move.gates[i]);
    const double expected = w - kRate * (raw.gradient[i] * z + kDecay * p * w);
    EXPECT_NEAR(move.after[i], expected, 1e-6) << i;
  }
  EXPECT_GT(closed, 0);
  for (const nn::NamedParameter& one : net->named_parameters()) {
    EXPECT_TRUE(one.parameter->decays) << one.name << ": the second phase decays as always";
  }
}

// Trap: the published code leaves the bias out of training, or takes its penalty with the wrong
// sign.
TEST(L0, BiasesTrainAsAlwaysAndHaveNoGate) {
  constexpr double kRate = 0.1;
  constexpr double kDecay = 0.7;
  auto net = tiny_mlp();
  net->parameter("3.bias").value.value().fill_(0.25);
  class Bias : public nn::TrainHook {
   public:
    void after_backward(nn::TrainState& s) override {
      if (s.step != 0) return;
      const nn::Parameter& bias = s.model.parameter("3.bias");
      gradient = bias.value.grad().value().to_vector<double>();
      decays = bias.decays;
    }
    void after_step(nn::TrainState& s) override {
      if (s.step == 1) after = s.model.parameter("3.bias").value.value().to_vector<double>();
    }
    std::vector<double> gradient, after;
    bool decays = false;
  } bias;
  auto pruner = l0_pruner({{"lambda", "1e4"}});
  train(*net, {pruner.get(), &bias}, kRate, kDecay);
  double size = 0.0;
  for (size_t i = 0; i < bias.after.size(); ++i) {
    const double decay = bias.decays ? kDecay * 0.25 : 0.0;
    EXPECT_NEAR(bias.after[i], 0.25 - kRate * (bias.gradient[i] + decay), 1e-6) << i;
    size += std::abs(bias.gradient[i]);
  }
  EXPECT_GT(size, 0.0);
  EXPECT_FALSE(pruner->state().contains("event.0.log_alpha.3.bias"));
}

// Trap: weight decay would draw log alpha to 0, a gate half open.
TEST(L0, GatesDoNotDecayAndStopAtTheirUpperBound) {
  for (const auto& [rate, start, end] : std::vector<std::tuple<std::string, float, double>>{
           {"0", 3.0F, 3.0}, {"0.5", 4.6F, std::log(100.0)}}) {
    const std::map<std::string, std::string> given = {
        {"lambda", "0"}, {"gate-decay", "0"}, {"gate-lr", rate}};
    auto net = tiny_mlp();
    auto first = l0_pruner(given);
    Probe probe(*first);
    train(*net, {first.get(), &probe});
    std::map<std::string, Tensor> state;
    for (const auto& [name, tensor] : probe.start) state[name] = tensor.clone();
    state.at("event.0.log_alpha.3.weight").fill_(start);
    auto again = tiny_mlp();
    auto moved = l0_pruner(given);
    moved->load_state(state);
    FirstStep step(*moved);
    train(*again, {moved.get(), &step}, 0.0, 0.5);
    ASSERT_FALSE(step.gates.empty());
    double most = 0.0;
    for (const double gate : step.gates) most = std::max(most, gate);
    EXPECT_NEAR(most, end, 1e-5) << rate;
  }
}

TEST(L0, GatesStopAtTheirLowerBound) {
  auto net = tiny_mlp();
  auto pruner = l0_pruner(
      {{"lambda", "1e6"}, {"gate-lr", "1.5"}, {"prune-at", "1"}, {"allow-collapse", "true"}});
  class Last : public nn::TrainHook {
   public:
    explicit Last(const Pruner& pruner) : pruner_(pruner) {}
    void after_step(nn::TrainState& s) override {
      if (s.step == 7) gates = log_alphas(pruner_, "3.weight");
    }
    std::vector<double> gates;

   private:
    const Pruner& pruner_;
  } last(*pruner);
  train(*net, {pruner.get(), &last});
  ASSERT_FALSE(last.gates.empty());
  for (const double gate : last.gates) EXPECT_NEAR(gate, -std::log(100.0), 1e-5);
}

}  // namespace
}  // namespace espalier::prune
