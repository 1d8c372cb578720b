// SPDX-License-Identifier: Apache-2.0
/// Taylor, Fisher and SSL beside PyTorch: scores behind batch norm in both modes, and a few steps
/// under SSL's penalty. oracles/published_scores.py made the numbers.
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

constexpr double kOracleTolerance = 1e-10;  // of float64, relative to the largest of a layer
constexpr double kTrainedTolerance = 2e-6;  // of six steps in float32
constexpr int64_t kSamples = 5;

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/published_scores.inc>
  };
  return values;
}

std::unique_ptr<nn::Sequential> oracle_net(DType dtype) {
  auto net = std::make_unique<nn::Sequential>();
  const auto conv = [](int64_t in, int64_t out) {
    return nn::Conv2d(
        {.in_channels = in, .out_channels = out, .kernel = 3, .padding = 1, .bias = false});
  };
  net->add(conv(3, 4));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  net->add(conv(4, 6));
  net->add(nn::BatchNorm2d({.channels = 6}));
  net->add(nn::ReLU());
  net->add(nn::AdaptiveAvgPool2d(1));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 6, .out = 3}));
  net->to(dtype);
  for (const auto& [name, tensor] : net->state_dict()) {
    Tensor(tensor).copy_(Tensor::from(tensor.shape(), oracle().at(name)).to(tensor.dtype()));
  }
  return net;
}

data::Batch oracle_batch(int64_t index, DType dtype) {
  const std::string number = std::to_string(index % 2);
  return {Tensor::from({kSamples, 3, 5, 5}, oracle().at("images " + number)).to(dtype),
          Tensor::from({kSamples}, oracle().at("labels " + number)).to(DType::I64)};
}

const char* const kWeights[] = {"0.weight", "3.weight", "8.weight"};

void expect_scores(const std::string& name,
                   std::map<std::string, std::string> given,
                   const std::string& expected) {
  const auto net = oracle_net(DType::F64);
  given["batches"] = "2";
  const PruneInputs inputs{.batch = [](int64_t i) { return oracle_batch(i, DType::F64); }};
  const auto scores = raw_scores(name, *net, parse_settings(method(name), given), inputs);
  for (const char* weight : kWeights) {
    const std::vector<double>& right = oracle().at(expected + " " + weight);
    const std::vector<double> got = scores.at(weight).to_vector<double>();
    const size_t inner = got.size() / right.size();
    double largest = 0.0;
    for (const double score : right) largest = std::max(largest, std::abs(score));
    for (size_t filter = 0; filter < right.size(); ++filter) {
      const double score = got[filter * inner];  // every entry holds its filter's
      EXPECT_NEAR(score, right[filter], kOracleTolerance * largest)
          << expected << " " << weight << " " << filter;
    }
  }
}

TEST(PublishedScores, OfTaylorAndFisherAreThoseOfTrainingUnlessAskedOtherwise) {
  for (const char* form : {"gate", "sum-of-squares", "absolute"}) {
    expect_scores("taylor", {{"form", form}}, cat("train ", form));
    expect_scores("taylor", {{"form", form}, {"scoring-mode", "eval"}}, cat("eval ", form));
  }
  expect_scores("fisher", {}, "train fisher");
  expect_scores("fisher", {{"scoring-mode", "eval"}}, "eval fisher");
}

TEST(PublishedScores, OfSslsDefaultStepGoThroughMomentumAsPublished) {
  const auto net = oracle_net(DType::F32);
  net->train();
  nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9});
  const auto pruner = make_pruner(
      "ssl",
      parse_settings(
          method("ssl"),
          {{"sparsity", "0.3"}, {"filter-strength", "0.02"}, {"channel-strength", "0.01"}}),
      {.input_shape = {3, 5, 5}});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 100};
  pruner->before_training(state);
  for (state.step = 0; state.step < 6;) {
    pruner->before_step(state);
    sgd.zero_grad();
    const data::Batch batch = oracle_batch(state.step, DType::F32);
    cross_entropy((*net)(Variable(batch.images)), batch.labels).backward();
    pruner->after_backward(state);
    sgd.step();
    ++state.step;
    pruner->after_step(state);
  }
  for (const char* weight : kWeights) {
    const std::vector<double>& right = oracle().at(cat("ssl ", weight));
    const std::vector<double> got = net->parameter(weight).value.value().to_vector<double>();
    ASSERT_EQ(got.size(), right.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], right[i], kTrainedTolerance) << weight << " " << i;
    }
  }
}

// Without a gradient of the loss. After T steps of momentum m the subgradient has moved a norm by
// lr l (T - m (1 - m^T) / (1 - m)) / (1 - m): behind the proximal step by m (1 - m^T) / (1 - m)
// steps of it, and as fast from then on.
TEST(SslSteps, ShrinkGroupsAsFastAsEachOtherUnderMomentum) {
  constexpr double kRate = 0.05;
  constexpr double kMomentum = 0.9;
  constexpr double kStrength = 0.01;
  constexpr int64_t kSteps = 60;
  std::map<std::string, std::vector<double>> moved;
  for (const char* step : {"subgradient", "proximal"}) {
    auto net = testing::tiny_conv_net();
    const Units filters{.count = 8, .of_weight = [] {
                          std::vector<int32_t> of(8 * 27);
                          for (size_t i = 0; i < of.size(); ++i)
                            of[i] = static_cast<int32_t>(i) / 27;
                          return of;
                        }()};
    nn::Parameter& weight = net->parameter("0.weight");
    const auto before = group_norms(weight, filters);
    nn::Sgd sgd(*net, {.lr = kRate, .momentum = kMomentum});
    const auto pruner = make_pruner(
        "ssl",
        parse_settings(
            method("ssl"),
            {{"step", step}, {"filter-strength", cat(kStrength)}, {"channel-strength", "0"}}),
        {.input_shape = {3, 8, 8}});
    nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 1000};
    pruner->before_training(state);
    for (state.step = 0; state.step < kSteps;) {
      pruner->before_step(state);
      for (const nn::NamedParameter& one : net->named_parameters()) {
        one.parameter->value.set_grad(Variable(Tensor::zeros(one.parameter->shape())));
      }
      pruner->after_backward(state);
      sgd.step();
      ++state.step;
      pruner->after_step(state);
    }
    const auto after = group_norms(weight, filters);
    for (size_t f = 0; f < after.size(); ++f) moved[step].push_back(before[f] - after[f]);
  }
  const double lasting = kRate * kStrength / (1.0 - kMomentum);
  const double late =
      kMomentum * (1.0 - std::pow(kMomentum, static_cast<double>(kSteps))) / (1.0 - kMomentum);
  for (size_t f = 0; f < 8; ++f) {
    EXPECT_NEAR(moved["proximal"][f], lasting * kSteps, 1e-4) << f;
    EXPECT_NEAR(moved["subgradient"][f], lasting * (kSteps - late), 1e-4) << f;
  }
}

}  // namespace
}  // namespace espalier::prune
