// SPDX-License-Identifier: Apache-2.0
/// ThiNet: the card's example, PyTorch's choice and factors for two layers (oracles/thinet.py), and
/// the traps.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/prune/curvature/linalg/greedy.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::inputs_of;
using testing::mask_of;
using testing::prune_now;

constexpr double kPull = 1e-5;   // of factors, which are pulled to 1 by a millionth
constexpr double kFloat = 1e-4;  // of float32 networks

// xᵀx of the columns of [1,2,-1], [0,1,1], [2,0,-2].
const Tensor kGram = Tensor::from<double>({3, 3}, {5, 2, -5, 2, 5, -1, -5, -1, 6});

TEST(LeastSumGoes, AddsTheSummandThatLeavesTheLeastSum) {
  // Alone they are 5, 5 and 6: of equals the higher index goes. Then 2 makes 5 + 6 - 2 = 9 of it, 0
  // makes 14.
  EXPECT_EQ(least_sum_goes(kGram, 3), (std::vector<uint8_t>{1, 1, 1}));
  EXPECT_EQ(least_sum_goes(kGram, 2), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(least_sum_goes(kGram, 1), (std::vector<uint8_t>{1, 0, 0}));
  EXPECT_EQ(least_sum_goes(kGram, 0), (std::vector<uint8_t>{0, 0, 0}));
  // With 0 gone first, 2 goes next though it is the largest alone: 5 + 6 - 10 = 1, they cancel.
  const Tensor other = Tensor::from<double>({3, 3}, {5, 2, -5, 2, 6, -1, -5, -1, 6});
  EXPECT_EQ(least_sum_goes(other, 1), (std::vector<uint8_t>{0, 1, 0}));
}

TEST(FactorsOfKept, AreTheLeastSquaresOfTheWholeSum) {
  const auto factors = [](const std::vector<uint8_t>& keep) {
    return Tensor::from<double>({3}, factors_of_kept(kGram, keep));
  };
  expect_near(factors({0, 1, 0}), {0, 1.2, 0}, kPull);
  expect_near(factors({1, 1, 0}), {-0.095238, 1.238095, 0}, kPull);
  expect_near(factors({1, 1, 1}), {1, 1, 1}, kPull);
  expect_near(factors({0, 0, 0}), {0, 0, 0}, kPull);
}

/// conv 1x1 3>3 that copies its inputs, and, behind a ReLU if wanted, conv 1x1 3>1 that adds them.
std::unique_ptr<nn::Sequential> adder(bool relu) {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 3, .kernel = 1, .bias = false}));
  if (relu) net->add(nn::ReLU());
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 1, .kernel = 1}));
  net->parameter("0.weight")
      .value.value()
      .copy_(Tensor::from<float>({3, 3, 1, 1}, {1, 0, 0, 0, 1, 0, 0, 0, 1}));
  const std::string last = relu ? "2" : "1";
  net->parameter(last + ".weight").value.value().copy_(Tensor::ones({1, 3, 1, 1}));
  net->parameter(last + ".bias").value.value().copy_(Tensor::full({1}, 7.0));
  return net;
}

/// Samples of one pixel.
PruneInputs pixels(const std::vector<float>& rows) {
  const auto count = static_cast<int64_t>(rows.size()) / 3;
  PruneInputs inputs = inputs_of(Tensor::from<float>({count, 3, 1, 1}, rows));
  inputs.input_shape = {3, 1, 1};
  return inputs;
}

TEST(ThiNet, FoldsTheFactorsIntoTheNextLayer) {
  // A fourth sample makes channel 1 alone larger than 0: 0 goes, then 2, which cancels it. The
  // bias, 7, has no part in it.
  const auto net = adder(false);
  const PruneInputs inputs = pixels({1, 2, -1, 0, 1, 1, 2, 0, -2, 0, 1, 0});
  prune_now("thinet", {{"sparsity", "0.66667"}, {"batches", "1"}}, *net, inputs);
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 0, 0, 1, 1, 1, 0, 0, 0}));
  expect_near(net->parameter("1.weight").value.value(), {0, 7.0 / 6, 0}, kPull);
  EXPECT_EQ(net->parameter("1.bias").value.value().at({0}), 7.0);
}

TEST(ThiNet, SeesWhatTheReluLeaves) {
  // Trap: before the ReLU channel 0 is by far the largest; behind it nothing is left.
  const auto net = adder(true);
  const PruneInputs inputs = pixels({-9, 2, 1, -8, 1, 2, -7, 1, 1});
  prune_now("thinet", {{"sparsity", "0.33333"}, {"batches", "1"}}, *net, inputs);
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 0, 0, 1, 1, 1, 1, 1, 1}));
  expect_near(net->parameter("2.weight").value.value(), {0, 1, 1}, kPull);
}

/// conv 3>6 with batch norm and ReLU, conv 6>4 of stride 2. Weights `0` and `3`.
std::unique_ptr<nn::Sequential> two_convolutions() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 6, .padding = 1, .bias = false}));
  net->add(nn::BatchNorm2d({.channels = 6}));
  net->add(nn::ReLU());
  net->add(nn::Conv2d({.in_channels = 6, .out_channels = 4, .stride = 2}));
  testing::randomize(*net, 3);
  return net;
}

PruneInputs images() {
  Tensor x = Tensor::empty({20, 3, 8, 8});
  Rng rng(4, "test images");
  fill_normal_(x, rng);
  PruneInputs inputs = inputs_of(x);
  inputs.input_shape = {3, 8, 8};
  return inputs;
}

std::vector<double> outputs_of(nn::Module& net, const PruneInputs& inputs) {
  const NoGrad no_grad;
  net.eval();
  return net(Variable(inputs.batch(0).images)).value().to_vector<double>();
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

TEST(ThiNet, TheFactorsMakeTheErrorLessThanTheSumThatIsGone) {
  // Trap: what is minimized by the choice is the error only as long as nothing is scaled.
  const auto net = two_convolutions();
  const auto dense = net->clone();
  const PruneInputs inputs = images();
  prune_now("thinet", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs);
  const auto masked = dense->clone();
  for (const nn::NamedParameter& one : net->named_parameters()) {
    if (one.parameter->masked()) masked->parameter(one.name).set_mask(one.parameter->mask());
  }
  const std::vector<double> wanted = outputs_of(*dense, inputs);
  EXPECT_LT(distance(outputs_of(*net, inputs), wanted),
            0.99 * distance(outputs_of(*masked, inputs), wanted));
  // Weights of one channel have one factor.
  const auto w = net->parameter("3.weight").value.value().to_vector<double>();
  const auto before = dense->parameter("3.weight").value.value().to_vector<double>();
  const std::vector<int> mask = mask_of(net->parameter("3.weight"));
  for (size_t i = 0; i < w.size(); ++i) {
    const size_t first = i / 9 % 6 * 9;
    if (mask[i] == 1) {
      EXPECT_NEAR(w[i], before[i] * w[first] / before[first], kFloat) << i;
    }
  }
}

TEST(ThiNet, TheShrunkNetworkComputesTheSame) {
  const auto net = two_convolutions();
  net->add(nn::ReLU());
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 4 * 9, .out = 3}));
  testing::randomize(*net, 5);
  const PruneInputs inputs = images();
  prune_now("thinet", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs);
  const std::vector<double> masked = outputs_of(*net, inputs);
  shrink(*net, Variable(Tensor::zeros({1, 3, 8, 8})));
  EXPECT_EQ(net->parameter("3.weight").shape(), Shape({2, 3, 3, 3}));
  EXPECT_LT(distance(outputs_of(*net, inputs), masked), kFloat);
}

TEST(ThiNet, RefusesToLeaveALayerWithoutChannels) {
  const auto net = two_convolutions();
  EXPECT_THROW(prune_now("thinet", {{"sparsity", "0.99"}, {"batches", "1"}}, *net, images()),
               ValueError);
  EXPECT_FALSE(net->parameter("0.weight").masked());
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/thinet.inc>
  };
  return values;
}

TEST(ThiNetOracle, ChoosesAndScalesTwoLayersAsPyTorch) {
  // The second layer's choice is made in the network whose first layer is pruned.
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 3, .out_channels = 6, .padding = 1, .bias = false}));
  net.add(nn::BatchNorm2d({.channels = 6}));
  net.add(nn::ReLU());
  net.add(nn::Conv2d({.in_channels = 6, .out_channels = 5, .padding = 1}));
  net.add(nn::ReLU());
  net.add(nn::Conv2d({.in_channels = 5, .out_channels = 4, .stride = 2}));
  for (const auto& [name, tensor] : net.state_dict()) {
    const auto value = oracle().find(name);
    if (value != oracle().end())
      Tensor(tensor).copy_(Tensor::from(tensor.shape(), value->second).to(DType::F32));
  }
  PruneInputs inputs = inputs_of(Tensor::from({4, 3, 5, 5}, oracle().at("images")).to(DType::F32));
  inputs.input_shape = {3, 5, 5};
  prune_now("thinet", {{"sparsity", "0.5"}, {"batches", "1"}}, net, inputs);
  for (const char* layer : {"0", "3"}) {
    const std::vector<double>& kept = oracle().at(cat("kept ", layer));
    const nn::Parameter& weight = net.parameter(cat(layer, ".weight"));
    const std::vector<int> mask = mask_of(weight);
    const size_t size = mask.size() / kept.size();
    for (size_t c = 0; c < kept.size(); ++c) {
      const auto begin = mask.begin() + static_cast<std::ptrdiff_t>(c * size);
      EXPECT_EQ(std::count(begin, begin + static_cast<std::ptrdiff_t>(size), 1) > 0, kept[c] == 1.0)
          << layer << " " << c;
    }
  }
  expect_near(net.parameter("3.weight").value.value(), oracle().at("after 3.weight"), kFloat);
  expect_near(net.parameter("5.weight").value.value(), oracle().at("after 5.weight"), kFloat);
}

}  // namespace
}  // namespace espalier::prune
