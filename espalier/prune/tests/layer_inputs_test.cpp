// SPDX-License-Identifier: Apache-2.0
/// The inputs that layers of every kind multiply their weights with.
#include <gtest/gtest.h>

#include <espalier/nn/layers/attention.h>
#include <espalier/nn/layers/residual.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/curvature/response.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::inputs_of;
using testing::linear_chain;
using testing::Options;
using testing::prune_now;

/// The weight times the inputs that are handed out must be what the layer computes.
template <class Layer>
void expect_inputs_make_outputs(Layer layer, const Tensor& x, int64_t groups = 1) {
  nn::Sequential net;
  net.add("layer", std::move(layer));
  testing::randomize(net, 5);
  nn::Parameter& parameter = net.parameter("layer.weight");
  const Tensor matrix = as_matrix(parameter.value.value());
  const int64_t outputs = matrix.size(0);
  Tensor y = net(Variable(x)).value().to(Layout::Nchw);
  if (y.rank() == 4) y = y.permute({0, 2, 3, 1});
  y = y.contiguous().reshape({y.numel() / outputs, outputs});
  const std::vector<nn::NamedParameter> weights = {{"layer.weight", &parameter}};
  std::vector<int64_t> position(static_cast<size_t>(groups), 0);
  visit_layer_inputs(
      net, weights, inputs_of(x).batch, 1, [&](size_t, int64_t group, const Tensor& rows) {
        ASSERT_EQ(rows.size(1), matrix.size(1));
        int64_t& at = position[static_cast<size_t>(group)];
        for (int64_t r = 0; r < rows.size(0); ++r, ++at) {
          for (int64_t o = group * outputs / groups; o < (group + 1) * outputs / groups; ++o) {
            double sum = 0.0;
            for (int64_t c = 0; c < rows.size(1); ++c) sum += matrix.at({o, c}) * rows.at({r, c});
            ASSERT_NEAR(sum, y.at({at, o}), 1e-5) << at << " " << o;
          }
        }
      });
  for (int64_t seen : position) EXPECT_EQ(seen, y.size(0));
  EXPECT_EQ(from_matrix(matrix, parameter.shape()).to_vector<float>(),
            parameter.value.value().to_vector<float>());
}

TEST(LayerInputs, TimesTheWeightAreTheOutputs) {
  Rng rng(2, "test inputs");
  Tensor planes = Tensor::empty({3, 6, 7, 9});
  fill_normal_(planes, rng);
  Tensor tokens = Tensor::empty({2, 5, 6});
  fill_normal_(tokens, rng);
  const auto conv = [](nn::Conv2d::Options options) {
    options.bias = false;
    return nn::Conv2d(options);
  };
  expect_inputs_make_outputs(nn::Linear({.in = 6, .out = 4, .bias = false}), tokens);
  for (Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const Tensor x = planes.to(layout);
    expect_inputs_make_outputs(conv({.in_channels = 6, .out_channels = 4, .padding = 1}), x);
    expect_inputs_make_outputs(conv({.in_channels = 6,
                                     .out_channels = 4,
                                     .kernel = {3, 2},
                                     .stride = {2, 3},
                                     .padding = {0, 1},
                                     .dilation = {2, 1}}),
                               x);
    expect_inputs_make_outputs(conv({.in_channels = 6, .out_channels = 4, .groups = 2}), x, 2);
    expect_inputs_make_outputs(conv({.in_channels = 6, .out_channels = 12, .groups = 6}), x, 6);
  }
}

TEST(LayerInputs, AreCutIntoPartsInOrder) {
  Tensor x = Tensor::empty({5000, 2});
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(i);
  auto net = linear_chain({{{1, 2}, {1, 1}}});
  std::vector<double> seen;
  visit_layer_inputs(*net,
                     prunable_weights(*net),
                     inputs_of(x).batch,
                     1,
                     [&](size_t, int64_t, const Tensor& rows) {
                       const auto part = rows.to_vector<double>();
                       seen.insert(seen.end(), part.begin(), part.end());
                     });
  EXPECT_EQ(seen, x.to_vector<double>());
}

TEST(LayerInputs, AWeightWhoseInputsCannotBeToldIsNamed) {
  nn::Sequential net;
  net.add("attention", nn::MultiheadAttention({.dim = 4, .heads = 2}));
  try {
    prune_now("wanda", {{"sparsity", "0.5"}}, net, inputs_of(Tensor::ones({1, 3, 4})));
    FAIL();
  } catch (const NotImplemented& error) {
    EXPECT_NE(std::string(error.what()).find("attention.in_proj_weight"), std::string::npos);
  }
}

/// conv 1x1 from 2 channels to 2 and a batch norm of scales 3 / 2 and 5 / 4 (eps 0).
std::shared_ptr<nn::Sequential> scaled_branch(bool relu) {
  auto branch = std::make_shared<nn::Sequential>();
  branch->add(nn::Conv2d({.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false}));
  branch->add(nn::BatchNorm2d({.channels = 2, .eps = 0.0, .relu = relu}));
  branch->parameter("1.weight").value.value().copy_(Tensor::from<float>({2}, {3, 5}));
  branch->state_dict().at("1.running_var").copy_(Tensor::from<float>({2}, {4, 16}));
  return branch;
}

TEST(Response, IsTheScaleOfTheNormAndTheOtherSideOfTheSum) {
  nn::Sequential net;
  net.add(nn::Residual({.main = scaled_branch(false)}));
  const nn::NamedParameter weight = {"0.main.0.weight", &net.parameter("0.main.0.weight")};
  const Tensor x = Tensor::from<float>({1, 2, 1, 2}, {1, 2, 3, 4});
  const Response behind = response_behind(net, weight, x);
  EXPECT_EQ(behind.scale, (std::vector<double>{1.5, 1.25}));
  // Rows of positions: channels side by side.
  EXPECT_EQ(behind.shortcut.to_vector<double>(), (std::vector<double>{1, 3, 2, 4}));
}

TEST(Response, HasNoShortcutBehindAReluAndNoScaleWithoutANorm) {
  const Tensor x = Tensor::from<float>({1, 2, 1, 1}, {1, -2});
  nn::Sequential net;
  net.add(nn::Residual({.main = scaled_branch(true)}));
  const Response bent =
      response_behind(net, {"0.main.0.weight", &net.parameter("0.main.0.weight")}, x);
  EXPECT_EQ(bent.scale, (std::vector<double>{1.5, 1.25}));
  EXPECT_FALSE(bent.shortcut.defined());

  nn::Sequential plain;
  plain.add(nn::Linear({.in = 2, .out = 3}));
  const Response bare =
      response_behind(plain, {"0.weight", &plain.parameter("0.weight")}, Tensor::ones({4, 2}));
  EXPECT_EQ(bare.scale, (std::vector<double>{1, 1, 1}));
  EXPECT_FALSE(bare.shortcut.defined());
}

TEST(Response, FollowsNoLayerThatIsCalledTwice) {
  auto branch = scaled_branch(false);
  nn::Sequential net;
  net.add_shared("a", branch);
  net.add_shared("b", branch);
  const Response twice = response_behind(
      net, {"a.0.weight", &net.parameter("a.0.weight")}, Tensor::ones({1, 2, 1, 1}));
  EXPECT_EQ(twice.scale, (std::vector<double>{1, 1}));
}

}  // namespace
}  // namespace espalier::prune
