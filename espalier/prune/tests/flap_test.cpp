// SPDX-License-Identifier: Apache-2.0
/// FLAP: hand-worked moments and scores, PyTorch's network with its channels cut out
/// (oracles/flap.py), and the traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/prune/curvature/input_moments.h>
#include <espalier/prune/repair/repair.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::inputs_of;
using testing::kExact;
using testing::kHand;
using testing::linear_chain;
using testing::mask_of;

/// A network whose first layer hands its inputs on: of 3 channels, to two outputs with a bias.
std::unique_ptr<nn::Sequential> handed_on(const std::vector<float>& reader) {
  auto net = linear_chain({{{3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1}}});
  auto& last = net->add(nn::Linear({.in = 3, .out = 2}));
  last.weight.value.value().copy_(Tensor::from<float>({2, 3}, reader));
  last.bias.value.value().copy_(Tensor::from<float>({2}, {0.5F, -0.5F}));
  return net;
}

/// Channel 0 is 10 always, channel 1 is 1 to 4, channel 2 is -+ 2.
const Tensor& rows() {
  static const Tensor x = Tensor::from<float>({4, 3}, {10, 1, 2, 10, 2, -2, 10, 3, 2, 10, 4, -2});
  return x;
}

PruneInputs inputs_with_shape(const Tensor& x) {
  PruneInputs inputs = inputs_of(x);
  inputs.input_shape = {x.size(1)};
  inputs.single_batch = true;
  return inputs;
}

std::vector<double> scores_of(nn::Module& net, const PruneInputs& inputs) {
  std::vector<std::string> notes;
  const auto weights = prunable_weights(net);
  const std::vector<Site> sites =
      channel_sites(net, channel_groups(net, inputs.input_shape), weights, false, notes);
  Rng rng(1);
  const ScoreContext context{net, weights, inputs, rng};
  return fluctuation_score(std::make_shared<InputMoments>(1))->score_units(context, sites).at(0);
}

TEST(InputMoments, AreMeanAndSampleVarianceOfAnyParts) {
  // Trap: over n, or without the first batch; and a large mean must not swallow the variance.
  const auto net = linear_chain({{{1, 2}, {1, 1}}});
  PruneInputs inputs = inputs_of(rows());
  inputs.batch = [](int64_t index) {
    const auto more = static_cast<float>(2 * index);
    return data::Batch{
        Tensor::from<float>({2, 2}, {more + 1, 1048576 + more, more + 2, 1048577 + more}),
        Tensor::zeros({2}, DType::I64)};
  };
  InputMoments moments(3);  // 1 to 6, and the same 1048575 higher
  moments.find(*net, prunable_weights(*net), inputs, nullptr);
  const InputMoments::Columns& found = moments.of("0.weight");
  EXPECT_EQ(found.positions, 6);
  EXPECT_NEAR(found.mean[0], 3.5, kExact);
  EXPECT_NEAR(found.mean[1], 1048578.5, kExact);
  EXPECT_NEAR(found.variance(0), 3.5, kExact);
  EXPECT_NEAR(found.variance(1), 3.5, kExact);
  EXPECT_THROW(moments.of("1.weight"), ValueError);
}

TEST(FluctuationScore, IsVarianceTimesSquaredNormOfTheReader) {
  // Variances 0, 5/3, 16/3; squared norms 200, 5, 2: 0, 25/3, 32/3, in deviations from 19/3.
  const auto net = handed_on({10, 1, 1, 10, 2, -1});
  const double mean = 19.0 / 3;
  const double a = 25.0 / 3;
  const double b = 32.0 / 3;
  const double deviation =
      std::sqrt((mean * mean + (a - mean) * (a - mean) + (b - mean) * (b - mean)) / 2.0);
  expect_near(Tensor::from<double>({3}, scores_of(*net, inputs_with_shape(rows()))),
              {-mean / deviation, (a - mean) / deviation, (b - mean) / deviation},
              kHand);
}

TEST(FluctuationScore, OfChannelsThatAreAllAlikeIsZero) {
  // Trap: a deviation of zero to divide by.
  const auto net = handed_on({1, 1, 1, 1, 1, 1});
  EXPECT_EQ(scores_of(*net, inputs_with_shape(Tensor::ones({5, 3}))),
            (std::vector<double>{0, 0, 0}));
}

TEST(Flap, AChannelThatNeverVariesGoesFirstAndNothingIsLost) {
  // Trap: by weights or by the norm of its inputs channel 0 would be the last to go.
  const auto net = handed_on({10, 1, 1, 10, 2, -1});
  const auto dense = net->clone();
  make_pruner("flap", parse_settings(method("flap"), {}), inputs_with_shape(rows()))
      ->prune(*net, nullptr, Sparsity(1.0 / 3));
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{0, 1, 1, 0, 1, 1}));
  expect_near(net->parameter("1.bias").value.value(), {100.5, 99.5}, kHand);
  net->eval();
  dense->eval();
  expect_near((*net)(Variable(rows())).value(),
              (*dense)(Variable(rows())).value().to_vector<double>(),
              1e-4);
}

TEST(Flap, TheMeanOfTheOutputsStays) {
  const auto net = handed_on({10, 1, 1, 10, 2, -1});
  const auto mean_output = [](nn::Module& model) {
    model.eval();
    const auto y = model(Variable(rows())).value().to_vector<double>();
    return std::pair((y[0] + y[2] + y[4] + y[6]) / 4, (y[1] + y[3] + y[5] + y[7]) / 4);
  };
  const auto before = mean_output(*net);
  make_pruner("flap", parse_settings(method("flap"), {}), inputs_with_shape(rows()))
      ->prune(*net, nullptr, Sparsity(2.0 / 3));
  const auto after = mean_output(*net);
  EXPECT_EQ(net->parameter("1.weight").nnz(), 2);
  EXPECT_NEAR(before.first, after.first, 1e-4);
  EXPECT_NEAR(before.second, after.second, 1e-4);
}

TEST(Flap, TellsWhereNothingTakesTheMeans) {
  auto net = linear_chain({{{3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1}}, {{2, 3}, {1, 1, 1, 1, 2, -1}}});
  const UpdateReport report =
      make_pruner("flap", parse_settings(method("flap"), {}), inputs_with_shape(rows()))
          ->prune(*net, nullptr, Sparsity(1.0 / 3));
  bool told = false;
  for (const std::string& note : report.notes) {
    told = told || note.find("neither a bias nor a batch norm") != std::string::npos;
  }
  EXPECT_TRUE(told);
}

TEST(Flap, LeavesChannelsThatSeveralLayersRead) {
  auto net = testing::tiny_residual_net();
  auto loader = testing::tiny_loader();
  PruneInputs inputs{.batch = batches_like(*loader), .input_shape = {3, 8, 8}};
  const UpdateReport report =
      make_pruner("flap", parse_settings(method("flap"), {{"allocation", "uniform"}}), inputs)
          ->prune(*net, nullptr, Sparsity(0.5));
  for (const char* block : {"3", "4", "5"}) {
    EXPECT_EQ(net->parameter(cat(block, ".main.0.weight")).nnz(), 4 * 8 * 9);
  }
  EXPECT_FALSE(net->parameter("0.weight").masked());
  EXPECT_FALSE(report.notes.empty());
}

TEST(MeanCompensation, IsOfWholeChannels) {
  const auto moments = std::make_shared<InputMoments>(1);
  EXPECT_TRUE(mean_compensation(moments)->refusal(*make_pattern("channel")).empty());
  EXPECT_FALSE(mean_compensation(moments)->refusal(*make_pattern("filter")).empty());
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/flap.inc>
  };
  return values;
}

std::unique_ptr<nn::Sequential> oracle_net() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 4, .padding = 1}));
  net->add(nn::ReLU());
  net->add(nn::Conv2d({.in_channels = 4, .out_channels = 5, .padding = 1, .bias = false}));
  net->add(nn::BatchNorm2d({.channels = 5}));
  net->add(nn::ReLU());
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 45, .out = 3}));
  net->to(DType::F64);
  for (const auto& [name, tensor] : net->state_dict()) {
    if (!oracle().contains(name)) continue;
    Tensor(tensor).copy_(Tensor::from(tensor.shape(), oracle().at(name)));
  }
  net->eval();
  return net;
}

PruneInputs oracle_inputs() {
  PruneInputs inputs = inputs_of(Tensor::from({6, 3, 3, 3}, oracle().at("images")));
  inputs.input_shape = {3, 3, 3};
  inputs.single_batch = true;
  return inputs;
}

TEST(FlapOracle, ScoresAreTheSame) {
  auto net = oracle_net();
  const PruneInputs inputs = oracle_inputs();
  std::vector<std::string> notes;
  const auto weights = prunable_weights(*net);
  const auto sites =
      channel_sites(*net, channel_groups(*net, inputs.input_shape), weights, false, notes);
  ASSERT_EQ(sites.size(), 2U);
  Rng rng(1);
  const auto scores = fluctuation_score(std::make_shared<InputMoments>(1))
                          ->score_units({*net, weights, inputs, rng}, sites);
  for (size_t s = 0; s < 2; ++s) {
    const std::vector<double>& right = oracle().at("scores " + sites[s].name);
    expect_near(
        Tensor::from<double>({static_cast<int64_t>(right.size())}, scores[s]), right, kExact);
  }
}

TEST(FlapOracle, OutputsAreThoseOfTheNetworkWithChannelsCutOut) {
  auto net = oracle_net();
  make_pruner("flap", parse_settings(method("flap"), {{"allocation", "uniform"}}), oracle_inputs())
      ->prune(*net, nullptr, Sparsity(0.5));
  const Tensor images = oracle_inputs().batch(0).images;
  net->eval();
  expect_near((*net)(Variable(images)).value(), oracle().at("outputs"), kExact);
  expect_near(net->parameter("6.bias").value.value(), oracle().at("bias"), kExact);
  // And they are what is left when they are cut out here.
  shrink(*net, Variable(images.slice(0, 0, 1).contiguous()));
  net->eval();
  expect_near((*net)(Variable(images)).value(), oracle().at("outputs"), kExact);
  EXPECT_EQ(net->parameter("2.weight").shape(), Shape({2, 2, 3, 3}));
}

}  // namespace
}  // namespace espalier::prune
