// SPDX-License-Identifier: Apache-2.0
/// Channel pruning by LASSO: the regression on hand-worked data, and the reconstruction of layers.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/curvature/linalg/lasso.h>
#include <espalier/prune/curvature/response.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::inputs_of;
using testing::kExact;
using testing::mask_of;
using testing::Options;
using testing::prune_now;
using testing::random_matrix;

constexpr double kFloat = 1e-4;  // of float32 networks

// Two orthogonal columns of lengths 2 and 1 over 4 rows, y their sum: A = ZᵀZ / 4, c = Zᵀy / 4.
const Tensor kGram = Tensor::from<double>({2, 2}, {1, 0, 0, 0.25});
const std::vector<double> kCross = {1, 0.25};

TEST(Lasso, ScalesTheObjectiveByTwiceTheRows) {
  // beta_c = max(0, 1 - lambda n / ||Z_c||²); without the 1/(2n) both would be near 1.
  const std::vector<double> strong = lasso(kGram, kCross, 0.5);
  EXPECT_NEAR(strong[0], 0.5, kExact);
  EXPECT_EQ(strong[1], 0.0);
  const std::vector<double> weak = lasso(kGram, kCross, 0.1);
  EXPECT_NEAR(weak[0], 0.9, kExact);
  EXPECT_NEAR(weak[1], 0.6, kExact);
}

TEST(Lasso, MeetsTheOptimalityConditionsOfCorrelatedColumns) {
  const Tensor a = testing::hessian_of(random_matrix(40, 12, 1));
  std::vector<double> c(12);
  for (size_t i = 0; i < c.size(); ++i) c[i] = std::sin(static_cast<double>(3 * i + 1));
  constexpr double kLambda = 0.3;
  const std::vector<double> b = lasso(a, c, kLambda);
  int64_t zeros = 0;
  for (int64_t i = 0; i < 12; ++i) {
    const auto at = static_cast<size_t>(i);
    double gradient = -c[at];
    for (int64_t j = 0; j < 12; ++j) gradient += a.at({i, j}) * b[static_cast<size_t>(j)];
    if (b[at] == 0.0) {
      ++zeros;
      EXPECT_LE(std::abs(gradient), kLambda + 1e-7);
    } else {
      EXPECT_NEAR(gradient, b[at] > 0.0 ? -kLambda : kLambda, 1e-7);
    }
  }
  EXPECT_GT(zeros, 0);
  EXPECT_LT(zeros, 12);
  EXPECT_TRUE(std::any_of(b.begin(), b.end(), [](double x) { return x < 0.0; }));
}

TEST(Lasso, SupportHasTheExactSize) {
  const Tensor a = testing::hessian_of(random_matrix(40, 12, 2));
  std::vector<double> c(12);
  for (size_t i = 0; i < c.size(); ++i) c[i] = std::cos(static_cast<double>(2 * i));
  for (int64_t count = 0; count <= 12; ++count) {
    const auto keep = lasso_support(a, c, count);
    EXPECT_EQ(std::accumulate(keep.begin(), keep.end(), int64_t{0}), count);
  }
  EXPECT_EQ(lasso_support(kGram, kCross, 1), (std::vector<uint8_t>{1, 0}));
}

TEST(Lasso, EqualCoordinatesThatLeaveTogetherAreTakenByIndex) {
  const Tensor a = Tensor::from<double>({3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  const std::vector<double> c = {1, 1, 1};
  EXPECT_EQ(lasso_support(a, c, 2), (std::vector<uint8_t>{1, 1, 0}));
  // Columns without any effect come last.
  const Tensor dead = Tensor::from<double>({3, 3}, {0, 0, 0, 0, 1, 0, 0, 0, 1});
  const std::vector<double> d = {0, 1, 1};
  EXPECT_EQ(lasso_support(dead, d, 2), (std::vector<uint8_t>{0, 1, 1}));
}

/// conv 3>6 with batch norm and ReLU, conv 6>4. Weights `0` and `3`.
std::unique_ptr<nn::Sequential> two_convolutions() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 6, .padding = 1, .bias = false}));
  net->add(nn::BatchNorm2d({.channels = 6}));
  net->add(nn::ReLU());
  net->add(nn::Conv2d({.in_channels = 6, .out_channels = 4, .stride = 2}));
  testing::randomize(*net, 3);
  return net;
}

PruneInputs images(uint64_t seed = 4) {
  Tensor x = Tensor::empty({20, 3, 8, 8});
  Rng rng(seed, "test images");
  fill_normal_(x, rng);
  PruneInputs inputs = inputs_of(x);
  inputs.input_shape = {3, 8, 8};
  return inputs;
}

Tensor outputs_of(nn::Module& net, const PruneInputs& inputs) {
  const NoGrad no_grad;
  net.eval();
  return net(Variable(inputs.batch(0).images)).value();
}

double distance(const Tensor& a, const Tensor& b) {
  const auto x = a.to_vector<double>();
  const auto y = b.to_vector<double>();
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return std::sqrt(sum / static_cast<double>(x.size()));
}

/// The same channels as in `pruned`, without new weights for the layer that reads them.
std::unique_ptr<nn::Module> only_masked(nn::Module& dense, nn::Module& pruned) {
  auto masked = dense.clone();
  for (const nn::NamedParameter& one : pruned.named_parameters()) {
    if (one.parameter->masked()) masked->parameter(one.name).set_mask(one.parameter->mask());
  }
  return masked;
}

/// The largest entry of Xᵀ (Y - Y') over positions: X the inputs of the layer that owns `reader`, Y
/// and Y' the outputs of both networks, 4 channels.
double largest_correlation(nn::Module& pruned,
                           nn::Module& dense,
                           const std::string& reader,
                           const PruneInputs& inputs) {
  Tensor error = outputs_of(dense, inputs).to(DType::F64);
  const Tensor got = outputs_of(pruned, inputs).to(DType::F64);
  for (int64_t i = 0; i < error.numel(); ++i) error.data<double>()[i] -= got.data<double>()[i];
  error = error.permute({0, 2, 3, 1}).contiguous().reshape({error.numel() / 4, 4});
  const std::vector<nn::NamedParameter> weight = {{reader, &pruned.parameter(reader)}};
  double largest = 0.0;
  visit_layer_inputs(pruned, weight, inputs.batch, 1, [&](size_t, int64_t, const Tensor& x) {
    Tensor product = Tensor::empty({x.size(1), 4}, DType::F64);
    gemm(x.transpose(0, 1), error, product);
    for (double value : product.to_vector<double>()) {
      largest = std::max(largest, std::abs(value) / static_cast<double>(x.size(0)));
    }
  });
  return largest;
}

TEST(LassoChannels, WhatIsLeftOfTheErrorHasNothingToDoWithTheInputs) {
  // The normal equations of least squares: Xᵀ (Y - X W) = 0 for every column that stays.
  auto net = two_convolutions();
  const auto dense = net->clone();
  const PruneInputs inputs = images();
  UpdateReport report;
  prune_now("lasso-channels", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs, &report);
  EXPECT_EQ(report.kept(), 3 * 27 + 4 * 3 * 9);
  EXPECT_LT(largest_correlation(*net, *dense, "3.weight", inputs), kFloat);
  EXPECT_GT(largest_correlation(*only_masked(*dense, *net), *dense, "3.weight", inputs), 0.01);
}

TEST(LassoChannels, LeastSquaresHelpOnOtherDataToo) {
  auto net = two_convolutions();
  const auto dense = net->clone();
  prune_now("lasso-channels", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, images());
  const PruneInputs other = images(9);
  const Tensor wanted = outputs_of(*dense, other);
  EXPECT_LT(distance(outputs_of(*net, other), wanted),
            distance(outputs_of(*only_masked(*dense, *net), other), wanted));
}

TEST(LassoChannels, InputsOfALaterLayerComeFromThePrunedNetworkAndItsOutputsFromTheOriginal) {
  // Two layers deep, the second least squares also undoes a part of the first one's error.
  auto net = two_convolutions();
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 4 * 9, .out = 3}));
  testing::randomize(*net, 6);
  const auto dense = net->clone();
  const PruneInputs inputs = images();
  const Options both = {{"batches", "1"}, {"layer-sparsity", "0.weight=0.5,3.weight=0.25"}};
  prune_now("lasso-channels", both, *net, inputs);
  // The last layer alone, on the same pruned inputs, with the weights that it had.
  auto untouched = net->clone();
  nn::Parameter& last = untouched->parameter("5.weight");
  last.value.value().copy_(dense->parameter("5.weight").value.value());
  last.apply_mask();
  const Tensor wanted = outputs_of(*dense, inputs);
  EXPECT_LT(distance(outputs_of(*net, inputs), wanted),
            distance(outputs_of(*untouched, inputs), wanted));
}

TEST(LassoChannels, OfTwoEqualStrongChannelsOneGoesBeforeAWeakOneOfItsOwn) {
  // Channels 0 and 1 are the same, and each alone gives more of the output than channel 2. Keeping
  // those that give the most would keep the pair.
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 3, .out_channels = 3, .kernel = 1, .bias = false}));
  net.add(nn::Conv2d({.in_channels = 3, .out_channels = 2, .kernel = 1, .bias = false}));
  const auto set = [&](const char* name, const std::vector<float>& values) {
    nn::Parameter& weight = net.parameter(name);
    weight.value.value().copy_(Tensor::from<float>(weight.shape(), values));
  };
  set("0.weight", {1, 0, 0, 1, 0, 0, 0, 0, 1});
  set("1.weight", {1, 0.9F, 0, 0, 0, 0.5F});
  const auto dense = net.clone();
  const PruneInputs inputs = images();
  prune_now("lasso-channels", {{"sparsity", "0.33333"}, {"batches", "1"}}, net, inputs);
  EXPECT_EQ(mask_of(net.parameter("0.weight")), (std::vector<int>{1, 1, 1, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(mask_of(net.parameter("1.weight")), (std::vector<int>{1, 0, 1, 1, 0, 1}));
  // Least squares give the one the other's weight too.
  EXPECT_NEAR(net.parameter("1.weight").value.value().at({0, 0, 0, 0}), 1.9, kFloat);
  EXPECT_LT(distance(outputs_of(net, inputs), outputs_of(*dense, inputs)), kFloat);
}

TEST(LassoChannels, LeastSquaresReturnTheWeightsWhenWhatGoesWasIdle) {
  // Channel 5 is always zero behind the ReLU, so removing it is removing nothing.
  auto net = two_convolutions();
  net->parameter("1.weight").value.value().data<float>()[5] = 0.0F;
  const auto dense = net->clone();
  prune_now("lasso-channels", {{"sparsity", "0.16667"}, {"batches", "1"}}, *net, images());
  EXPECT_EQ(mask_of(net->parameter("1.weight")), (std::vector<int>{1, 1, 1, 1, 1, 0}));
  const auto w = dense->parameter("3.weight").value.value().to_vector<double>();
  const auto got = net->parameter("3.weight").value.value().to_vector<double>();
  for (size_t i = 0; i < w.size(); ++i) {
    if (i / 9 % 6 != 5) {
      EXPECT_NEAR(got[i], w[i], 1e-6);
    }
  }
}

TEST(LassoChannels, TheShrunkNetworkComputesTheSame) {
  auto net = two_convolutions();
  net->add(nn::ReLU());
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 4 * 9, .out = 3}));
  testing::randomize(*net, 5);
  const PruneInputs inputs = images();
  prune_now("lasso-channels",
            {{"batches", "1"}, {"layer-sparsity", "0.weight=0.5,3.weight=0.25"}},
            *net,
            inputs);
  EXPECT_EQ(net->parameter("3.bias").nnz(), 3);
  EXPECT_EQ(net->parameter("6.weight").nnz(), 3 * 27);
  const Tensor masked = outputs_of(*net, inputs);
  shrink(*net, Variable(Tensor::zeros({1, 3, 8, 8})));
  EXPECT_EQ(net->parameter("3.weight").shape(), Shape({3, 3, 3, 3}));
  EXPECT_LT(distance(outputs_of(*net, inputs), masked), kFloat);
}

TEST(LassoChannels, OfAResidualBlockOnlyTheInnerChannelsGo) {
  nn::ModelOptions options;
  options.width = 0.25;
  auto net = nn::make_model("resnet20", options);
  randomize(*net, 7);
  const auto dense = net->clone();
  Tensor x = Tensor::empty({16, 3, 32, 32});
  Rng rng(4, "test images");
  fill_normal_(x, rng);
  PruneInputs inputs = inputs_of(x.to(Layout::Nchw16n));
  inputs.input_shape = {3, 32, 32};
  UpdateReport report;
  prune_now("lasso-channels", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs, &report);
  for (const nn::NamedParameter& one : net->named_parameters()) {
    const std::string& name = one.name;
    const bool inner = name.find(".conv1.") != std::string::npos ||
                       name.find(".conv2.") != std::string::npos ||
                       name.find(".bn1.") != std::string::npos;
    EXPECT_EQ(one.parameter->nnz(), one.parameter->numel() / (inner ? 2 : 1)) << name;
  }
  // What the sums tie together stays, and is told.
  EXPECT_FALSE(report.notes.empty());
  const Tensor wanted = outputs_of(*dense, inputs);
  EXPECT_LT(distance(outputs_of(*net, inputs), wanted),
            distance(outputs_of(*only_masked(*dense, *net), inputs), wanted));
  const Tensor masked = outputs_of(*net, inputs);
  shrink(*net, Variable(Tensor::zeros({1, 3, 32, 32})));
  EXPECT_EQ(net->parameter("layer1.0.conv1.weight").shape(), Shape({2, 4, 3, 3}));
  EXPECT_LT(distance(outputs_of(*net, inputs), masked), kFloat);
}

TEST(LassoChannels, TheLastLayerOfABranchMakesUpForItsShortcut) {
  // The first least squares leaves an error in the shortcut; of the sum with the branch, nothing is
  // left that the branch's last layer could explain from its inputs.
  auto net = two_convolutions();
  auto main = std::make_shared<nn::Sequential>();
  main->add(nn::Conv2d({.in_channels = 4, .out_channels = 6, .padding = 1, .bias = false}));
  main->add(nn::BatchNorm2d({.channels = 6, .relu = true}));
  main->add(nn::Conv2d({.in_channels = 6, .out_channels = 4, .padding = 1, .bias = false}));
  main->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::Residual({.main = main, .activation = nullptr}));
  testing::randomize(*net, 8);
  const auto dense = net->clone();
  const PruneInputs inputs = images();
  prune_now("lasso-channels", {{"sparsity", "0.5"}, {"batches", "1"}}, *net, inputs);
  const std::string last = "4.main.2.weight";
  EXPECT_EQ(net->parameter(last).nnz(), 4 * 3 * 9);
  EXPECT_LT(largest_correlation(*net, *dense, last, inputs), kFloat);
  const auto shortcut = [&](nn::Module& model) {
    return response_behind(model, {last, &model.parameter(last)}, inputs.batch(0).images).shortcut;
  };
  EXPECT_GT(distance(shortcut(*dense), shortcut(*net)), 0.01);
}

TEST(Response, TheShortcutOfLinearLayersHasARowForEverySample) {
  nn::Sequential net;
  auto main = std::make_shared<nn::Sequential>();
  main->add(nn::Linear({.in = 4, .out = 6}));
  main->add(nn::ReLU());
  main->add(nn::Linear({.in = 6, .out = 4}));
  net.add(nn::Residual({.main = main, .activation = nullptr}));
  testing::randomize(net, 8);
  Tensor x = Tensor::empty({5, 4});
  Rng rng(4, "test samples");
  fill_normal_(x, rng);
  const std::string last = "0.main.2.weight";
  const Tensor shortcut = response_behind(net, {last, &net.parameter(last)}, x).shortcut;
  ASSERT_TRUE(shortcut.defined());
  EXPECT_EQ(shortcut.shape(), Shape({5, 4}));
  EXPECT_EQ(shortcut.to_vector<double>(), x.to_vector<double>());
}

TEST(LassoChannels, RefusesToLeaveALayerWithoutChannels) {
  auto net = two_convolutions();
  EXPECT_THROW(
      prune_now("lasso-channels", {{"sparsity", "0.99"}, {"batches", "1"}}, *net, images()),
      ValueError);
  EXPECT_FALSE(net->parameter("0.weight").masked());
}

}  // namespace
}  // namespace espalier::prune
