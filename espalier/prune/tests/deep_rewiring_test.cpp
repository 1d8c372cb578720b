// SPDX-License-Identifier: Apache-2.0
/// Deep rewiring: what dies and what grows, PyTorch's steps (oracles/deep_rewiring.py), its noise,
/// and the traps.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::kExact;
using testing::linear_chain;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;

using Given = std::map<std::string, std::string>;

std::unique_ptr<Pruner> deep_r(const Given& given, uint64_t seed = 7) {
  return make_pruner("deep-r", parse_settings(method("deep-r"), given), {.seed = seed});
}

const Given kStill = {{"temperature", "0"}, {"l1", "0"}, {"sparsity", "0.5"}};

/// One step of plain SGD under Deep-R with a gradient from the present weights.
template <class Gradient>
void step(Pruner& pruner, nn::TrainState& state, const Gradient& gradient) {
  pruner.before_step(state);
  for (const nn::NamedParameter& one : state.model.named_parameters()) {
    const std::vector<int> mask = mask_of(*one.parameter);
    std::vector<double> g = gradient(one.parameter->value.value().to_vector<double>());
    for (size_t i = 0; i < g.size(); ++i) g[i] *= mask[i];
    one.parameter->value.set_grad(
        Variable(Tensor::from(one.parameter->shape(), g).to(one.parameter->value.value().dtype())));
  }
  pruner.after_backward(state);
  state.optimizer.step();
  ++state.step;
  pruner.after_step(state);
}

std::unique_ptr<nn::Sequential> a_layer() {
  auto net = linear_chain({{{20, 30}, std::vector<float>(600, 0.0F)}});
  testing::randomize(*net, 5);
  return net;
}

TEST(DeepR, NothingDiesWhileStrengthsGrow) {
  const auto net = a_layer();
  nn::Sgd sgd(*net, {.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 100};
  const auto pruner = deep_r(kStill);
  pruner->before_training(state);
  const std::vector<int> mask = mask_of(net->parameter("0.weight"));
  for (int i = 0; i < 10; ++i) {
    step(*pruner, state, [](std::vector<double> w) {  // away from zero
      for (double& x : w) x = x > 0.0 ? -1.0 : 1.0;
      return w;
    });
  }
  pruner->before_step(state);
  EXPECT_EQ(mask_of(net->parameter("0.weight")), mask);
}

TEST(DeepR, ThoseThatCrossZeroDieAndAsManyGrowElsewhereFromZero) {
  const auto net = a_layer();
  nn::Parameter& weight = net->parameter("0.weight");
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 100};
  const auto pruner = deep_r(kStill);
  pruner->before_training(state);
  const std::vector<int> before = mask_of(weight);
  const auto start = weight.value.value().to_vector<float>();
  step(*pruner, state, [](const std::vector<double>& w) {  // all down by 0.1
    return std::vector<double>(w.size(), 1.0);
  });
  pruner->before_step(state);
  const std::vector<int> after = mask_of(weight);
  const auto now = weight.value.value().to_vector<float>();
  const auto momentum = sgd.slots("0.weight").at("momentum_buffer").to_vector<float>();
  int64_t died = 0;
  int64_t grown = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i] == 1) {
      const bool crosses = start[i] > 0.0F && start[i] < 0.1F;
      EXPECT_EQ(after[i], crosses ? 0 : 1) << start[i];
      died += crosses ? 1 : 0;
    } else if (after[i] == 1) {
      EXPECT_EQ(now[i], 0.0F);
      EXPECT_EQ(momentum[i], 0.0F);
      ++grown;
    }
  }
  EXPECT_GT(died, 10);
  EXPECT_EQ(grown, died);
  EXPECT_EQ(pruner->updates().back().layers.at(0).changed, 2 * died);
}

TEST(DeepR, ANewConnectionCannotDieInItsFirstStep) {
  // Trap: it starts at zero, and a gradient of either sign would be across. Its step gives it one.
  const auto net = linear_chain({{{1, 4}, {0.05F, 5, 0, 0}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 4}, {1, 1, 0, 0}));
  nn::Sgd sgd(*net, {.lr = 0.1});
  const auto update = mask_update({.score = sign_flip_score(),
                                   .allocation = threshold_allocation(0.5),
                                   .growth = random_growth(),
                                   .growth_allocation = uniform_allocation()});
  const PruneSettings settings;
  const PruneInputs inputs;
  const auto pattern = make_pattern("unstructured");
  const Subject subject{*net, &sgd, pattern, settings, inputs};
  const Moment moment{.sparsity = Sparsity(0.5)};
  const auto rewire = [&](int64_t number) {
    update->update(subject, {&moment, 1}, {.number = number});
    return mask_of(weight);
  };
  const auto descend = [&](float slope) {
    weight.value.set_grad(Variable(Tensor::full({1, 4}, slope)));
    sgd.step();
  };
  EXPECT_EQ(rewire(0), (std::vector<int>{1, 1, 0, 0}));  // signs are learnt
  descend(1.0F);
  const std::vector<int> first = rewire(1);
  EXPECT_EQ(first[0], 0);
  const size_t grown = first[2] == 1 ? 2 : 3;
  descend(1.0F);  // the new one becomes -0.1
  EXPECT_EQ(rewire(2), first);
  EXPECT_LT(weight.value.value().to_vector<float>()[grown], 0.0F);
  descend(-2.0F);  // and +0.1: now it has crossed
  const std::vector<int> last = rewire(3);
  EXPECT_EQ(last[grown], 0);
  EXPECT_EQ(last[0] + last[2] + last[3], 1);
}

TEST(DeepR, TheNumberOfEachLayerIsTheSameAfterEveryStep) {
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9});
  auto loader = tiny_loader();
  const auto pruner = deep_r({{"sparsity", "0.7"}, {"temperature", "1e-3"}, {"l1", "1e-3"}});
  class Counter : public nn::TrainHook {
   public:
    void before_step(nn::TrainState& state) override {
      std::vector<int64_t> kept;
      for (const char* name : {"0.weight", "3.weight", "7.weight"}) {
        kept.push_back(state.model.parameter(name).nnz());
      }
      counts.push_back(kept);
    }
    std::vector<std::vector<int64_t>> counts;
  } counter;
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {pruner.get(), &counter}, {.epochs = 3});
  ASSERT_EQ(counter.counts.size(), 12U);
  for (const auto& one : counter.counts) EXPECT_EQ(one, counter.counts.front());
  int64_t changed = 0;
  for (const UpdateReport& update : pruner->updates()) {
    EXPECT_EQ(update.kept(), pruner->updates().front().kept());
    changed += update.layers.at(1).changed;
  }
  EXPECT_GT(changed - pruner->updates().front().layers.at(1).changed, 20);
  EXPECT_FALSE(method("deep-r").facts().global);
  EXPECT_TRUE(method("deep-r").facts().revives);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/deep_rewiring.inc>
  };
  return values;
}

TEST(DeepROracle, StepsAndDeathsAreThoseOfPyTorch) {
  constexpr int64_t kSteps = 10;
  nn::Sequential net;
  net.add(nn::Linear({.in = 6, .out = 5, .bias = false}));
  net.to(DType::F64);
  nn::Parameter& weight = net.parameter("0.weight");
  const auto as_mask = [&](const std::string& name) {
    return Tensor::from({5, 6}, oracle().at(name)).to(DType::U8);
  };
  weight.value.value().copy_(Tensor::from({5, 6}, oracle().at("weight")));
  weight.set_mask(as_mask("mask"));
  nn::Sgd sgd(net, {.lr = 0.5, .momentum = 0.5});
  const auto penalty = l1_penalty(0.02);
  const auto score = sign_flip_score();
  const std::vector<nn::NamedParameter> weights = prunable_weights(net);
  const PruneSettings settings;
  const PruneInputs inputs;
  const auto pattern = make_pattern("unstructured");
  const Subject subject{net, &sgd, pattern, settings, inputs};
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = kSteps};
  Rng rng(1);
  const Tensor images = Tensor::from({2, 4, 6}, oracle().at("images"));
  const Tensor labels = Tensor::from({2, 4}, oracle().at("labels")).to(DType::I64);
  int64_t deaths = 0;
  score->compute({net, weights, inputs, rng});  // learns the signs
  for (int64_t s = 0; s < kSteps; ++s) {
    sgd.zero_grad();
    const int64_t b = s % 2;
    cross_entropy(net(Variable(images.slice(0, b, b + 1).contiguous().reshape({4, 6}))),
                  labels.slice(0, b, b + 1).contiguous().reshape({4}))
        .backward();
    penalty->after_backward(subject, state);
    sgd.step();
    expect_near(weight.value.value(), oracle().at(cat("after ", s)), kExact);
    const auto flips = score->compute({net, weights, inputs, rng})[0].to_vector<double>();
    const std::vector<double>& died = oracle().at(cat("died ", s));
    for (size_t i = 0; i < flips.size(); ++i) {
      EXPECT_EQ(flips[i], 1.0 - died[i]) << s << " " << i;
      deaths += died[i] != 0.0;
    }
    // What grows is the script's draw. Those that died lose their values first.
    weight.set_mask(as_mask(cat("mask ", s)));
    sgd.clear_masked_state();
  }
  EXPECT_GT(deaths, 5);
}

TEST(DeepR, AFullLayerKeepsItsNumber) {
  // Trap: three of four live and two die, so one of them has no other place.
  const auto net = linear_chain({{{1, 4}, {1, 1, 1, 0}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 4}, {1, 1, 1, 0}));
  const auto update = mask_update({.score = sign_flip_score(),
                                   .allocation = threshold_allocation(0.5),
                                   .growth = random_growth(),
                                   .growth_allocation = uniform_allocation()});
  const PruneSettings settings;
  const PruneInputs inputs;
  const auto pattern = make_pattern("unstructured");
  const Subject subject{*net, nullptr, pattern, settings, inputs};
  const Moment moment{.sparsity = Sparsity(0.25)};
  update->update(subject, {&moment, 1}, {});
  weight.value.value().copy_(Tensor::from<float>({1, 4}, {-1, -2, 1, 0}));
  update->update(subject, {&moment, 1}, {.number = 1});
  EXPECT_EQ(weight.nnz(), 3);
  EXPECT_EQ(mask_of(weight)[3], 1);
  const std::vector<int> now = mask_of(weight);
  // The one that stayed has its new sign, and does not die of it.
  update->update(subject, {&moment, 1}, {.number = 2});
  EXPECT_EQ(mask_of(weight), now);
}

/// Changes of a weight of 400 x 500 in one step without gradient.
std::vector<double> noise(double temperature, double rate, int64_t at) {
  const auto net = linear_chain({{{400, 500}, std::vector<float>(200'000, 0.0F)}});
  nn::Parameter& parameter = net->parameter("0.weight");
  Tensor mask = Tensor::ones({400, 500}, DType::U8);
  for (int64_t i = 0; i < mask.numel(); i += 2) mask.data<uint8_t>()[i] = 0;
  parameter.set_mask(mask);
  nn::Sgd sgd(*net, {.lr = rate});
  nn::TrainState state{.model = *net, .optimizer = sgd, .step = at, .total_steps = 100};
  const PruneSettings settings;
  const PruneInputs inputs{.seed = 9};
  const auto pattern = make_pattern("unstructured");
  weight_noise({.temperature = temperature, .final_temperature = 1e-2 * temperature})
      ->after_step({*net, &sgd, pattern, settings, inputs}, state);
  return parameter.value.value().to_vector<double>();
}

double deviation(const std::vector<double>& values) {
  double squares = 0.0;
  for (size_t i = 1; i < values.size(); i += 2) squares += values[i] * values[i];
  return std::sqrt(squares / (static_cast<double>(values.size()) / 2.0));
}

TEST(WeightNoise, HasTheDeviationOfItsTemperatureOnWhatLives) {
  constexpr double kPercent = 0.01;
  for (const auto& [temperature, rate] : {std::pair{1e-3, 0.1}, {1e-5, 0.1}, {1e-3, 0.025}}) {
    const std::vector<double> values = noise(temperature, rate, 0);
    const double expected = std::sqrt(2.0 * rate * temperature);
    EXPECT_NEAR(deviation(values), expected, kPercent * expected);
    for (size_t i = 0; i < values.size(); i += 2) ASSERT_EQ(values[i], 0.0);
    double sum = 0.0;
    for (const double v : values) sum += v;
    EXPECT_NEAR(sum / 1e5, 0.0, 5.0 * expected / std::sqrt(1e5));
  }
}

TEST(WeightNoise, CoolsDownAndIsNewAtEveryStepButTheSameWhenRepeated) {
  const std::vector<double> first = noise(1e-3, 0.1, 0);
  const std::vector<double> half = noise(1e-3, 0.1, 50);
  EXPECT_NEAR(deviation(half) / deviation(first), std::sqrt(0.1), 0.01);
  EXPECT_EQ(noise(1e-3, 0.1, 50), half);
  double product = 0.0;
  for (size_t i = 0; i < first.size(); ++i) product += first[i] * half[i];
  EXPECT_NEAR(product / 1e5 / (deviation(first) * deviation(half)), 0.0, 0.02);
  // Not the same numbers over and over inside of a weight.
  EXPECT_NE(first[1], first[4097]);
  EXPECT_THROW(weight_noise({.temperature = 1e-3, .final_temperature = 0.0}), ValueError);
}

TEST(L1Penalty, PullsWhatLivesToZeroAndNothingElse) {
  const auto net = linear_chain({{{1, 4}, {2, -3, 0, 1}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 4}, {1, 1, 1, 0}));
  weight.value.set_grad(Variable(Tensor::zeros({1, 4})));
  nn::Sgd sgd(*net, {.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd};
  const PruneSettings settings;
  const PruneInputs inputs;
  const auto pattern = make_pattern("unstructured");
  l1_penalty(0.25)->after_backward({*net, &sgd, pattern, settings, inputs}, state);
  EXPECT_EQ(weight.value.grad().value().to_vector<float>(),
            (std::vector<float>{0.25F, -0.25F, 0, 0}));
}

TEST(SignFlipScore, RemembersThroughItsState) {
  const auto net = linear_chain({{{1, 3}, {1, -1, 0}}});
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  const PruneInputs inputs;
  Rng rng(1);
  const auto score = sign_flip_score();
  const auto now = [&](Score& of) {
    return of.compute({*net, weights, inputs, rng})[0].to_vector<double>();
  };
  EXPECT_EQ(now(*score), (std::vector<double>{1, 1, 1}));
  const auto resumed = sign_flip_score();
  resumed->load_state(score->state());
  net->parameter("0.weight").value.value().copy_(Tensor::from<float>({1, 3}, {-1, -2, 5}));
  EXPECT_EQ(now(*score), (std::vector<double>{0, 1, 1}));
  EXPECT_EQ(now(*resumed), (std::vector<double>{0, 1, 1}));
  net->parameter("0.weight").value.value().copy_(Tensor::from<float>({1, 3}, {1, 2, -5}));
  EXPECT_EQ(now(*score), (std::vector<double>{1, 0, 0}));  // the first had no sign any more
}

TEST(GrowthAllocation, SaysHowManyThereAreWhateverSurvives) {
  // Two layers; scores leave 1 and 4 of 4, the allocation asks for 3 of each: 2 grow, none goes.
  const auto net = linear_chain({{{1, 4}, {1, -1, -1, 0}}, {{4, 1}, {1, 1, 1, 1}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 4}, {1, 0, 0, 0}));
  const UpdateParts parts{.score = magnitude_score(),
                          .allocation = threshold_allocation(0.5),
                          .growth = random_growth(),
                          .growth_allocation = uniform_allocation()};
  const PruneSettings settings;
  const PruneInputs inputs;
  const auto pattern = make_pattern("unstructured");
  const Moment moment{.sparsity = Sparsity(0.25)};
  mask_update(parts)->update({*net, nullptr, pattern, settings, inputs}, {&moment, 1}, {});
  EXPECT_EQ(net->parameter("0.weight").nnz(), 3);
  EXPECT_EQ(net->parameter("1.weight").nnz(), 4);
  UpdateParts nothing_grows = parts;
  nothing_grows.growth = nullptr;
  EXPECT_THROW(mask_update(nothing_grows), ValueError);
}

}  // namespace
}  // namespace espalier::prune
