// SPDX-License-Identifier: Apache-2.0
/// MorphNet: what channels cost and the penalty on their scales, by hand and beside PyTorch
/// (oracles/morphnet.py made the numbers); what goes, and what widening makes of the rest.
#include <map>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/budgets/widest.h>
#include <espalier/prune/penalties/resource.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/structure/widen.h>
#include <espalier/prune/tests/net.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::mask_of;
using testing::Net;
using testing::tiny_conv_net;

constexpr double kOracleTolerance = 1e-12;  // of float64, relative

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/morphnet.inc>
  };
  return values;
}

std::shared_ptr<nn::Conv2d> conv(int64_t in, int64_t out, int64_t kernel = 3) {
  return std::make_shared<nn::Conv2d>(nn::Conv2d::Options{.in_channels = in,
                                                          .out_channels = out,
                                                          .kernel = kernel,
                                                          .padding = kernel / 2,
                                                          .bias = false});
}

std::shared_ptr<nn::BatchNorm2d> norm(int64_t channels) {
  return std::make_shared<nn::BatchNorm2d>(nn::BatchNorm2d::Options{.channels = channels});
}

/// The network of the oracle.
std::unique_ptr<Net> oracle_net() {
  const auto depthwise = std::make_shared<nn::Conv2d>(nn::Conv2d::Options{.in_channels = 4,
                                                                          .out_channels = 4,
                                                                          .kernel = 3,
                                                                          .stride = 2,
                                                                          .padding = 1,
                                                                          .groups = 4,
                                                                          .bias = false});
  return std::make_unique<Net>(
      Net::Parts{{"a", conv(3, 4)},
                 {"norm_a", norm(4)},
                 {"b", conv(4, 4)},
                 {"norm_b", norm(4)},
                 {"c", depthwise},
                 {"norm_c", norm(4)},
                 {"d", conv(4, 6, 1)},
                 {"norm_d", norm(6)},
                 {"pool", std::make_shared<nn::AdaptiveAvgPool2d>(1)},
                 {"flatten", std::make_shared<nn::Flatten>()},
                 {"fc", std::make_shared<nn::Linear>(nn::Linear::Options{.in = 6, .out = 3})}},
      [](Net& net, const Variable& x) {
        const Variable a = net["norm_a"](net["a"](x));
        const Variable sum = relu(a + net["norm_b"](net["b"](a)));
        const Variable c = net["norm_c"](net["c"](sum));
        const Variable d = net["norm_d"](net["d"](c));
        return net["fc"](net["flatten"](net["pool"](d)));
      });
}

void set(nn::Module& net, const std::string& name, const std::vector<double>& values) {
  nn::Parameter& parameter = net.parameter(name);
  parameter.value.value().copy_(
      Tensor::from<double>(parameter.shape(), values).to(parameter.value.dtype()));
}

/// What the method adds to the gradients of one step of `net`, by parameter.
std::map<std::string, std::vector<double>> added_gradients(nn::Module& net,
                                                           const OptionTexts& given,
                                                           const Shape& image) {
  OptionTexts all = given;
  all["select"] = "threshold";
  const auto pruner =
      make_pruner("morphnet", parse_settings(method("morphnet"), all), {.input_shape = image});
  nn::Sgd sgd(net, nn::SgdOptions{.lr = 0.1});
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  pruner->before_training(state);
  pruner->before_step(state);
  for (const nn::NamedParameter& one : net.named_parameters()) {
    one.parameter->value.set_grad(Variable(Tensor::zeros_like(one.parameter->value.value())));
  }
  pruner->after_backward(state);
  std::map<std::string, std::vector<double>> gradients;
  for (const nn::NamedParameter& one : net.named_parameters()) {
    gradients[one.name] = one.parameter->value.grad().value().to_vector<double>();
  }
  return gradients;
}

TEST(ResourcePenalty, IsTheHandWorkedOneOfAConvolution) {
  // conv 3>4, 3x3, of 8x8 outputs: 576 multiply-accumulates for each pair. With scales 1, 0.5,
  // 0.001, 0.2 three of the outputs live; the image always does, and is not penalized.
  const std::vector<ResourceTerm> terms = {
      {.layer = "conv", .unit = 576, .in = {0, 1, 2}, .out = {3, 4, 5, 6}},
      {.layer = "reader", .unit = 10, .in = {3, 4, 5, 6}, .out = {7, 8}}};
  const std::vector<uint8_t> all(9, 1);
  const std::vector<uint8_t> alive = {1, 1, 1, 1, 1, 0, 1, 1, 1};
  const std::vector<double> sizes = {0, 0, 0, 1, 0.5, 0.001, 0.2, 0, 0};
  const std::span<const ResourceTerm> first(terms.data(), 1);
  EXPECT_EQ(resource_cost(first, all), 6912);
  EXPECT_EQ(resource_cost(first, alive), 5184);
  EXPECT_NEAR(resource_penalty(first, alive, sizes), 576 * 3 * 1.701, 1e-9);
  EXPECT_EQ(resource_gradient(first, alive)[3], 576 * 3);
  // The layer that reads the channel adds its unit times its living outputs.
  EXPECT_EQ(resource_gradient(terms, alive)[3], 576 * 3 + 10 * 2);
  // Loss and cost are two things: the loss of a dead channel's scale is not zero.
  EXPECT_EQ(resource_gradient(first, alive)[5], 576 * 3);
}

TEST(ResourcePenalty, IsPyTorchs) {
  for (const BudgetKind kind : {BudgetKind::Macs, BudgetKind::Params}) {
    const std::string what = name(kind);
    const auto net = oracle_net();
    net->to(DType::F64);
    for (const char* layer : {"a", "b", "c", "d"}) {
      set(*net, cat("norm_", layer, ".weight"), oracle().at(cat("gamma ", layer)));
    }
    const Shape image = {3, 8, 8};
    const Variable sample = normal_sample(*net, image);
    const ChannelGraph graph = trace_channels(*net, sample);
    const auto terms = resource_terms(*net, graph, sample, kind);
    const std::vector<uint8_t> all(static_cast<size_t>(graph.channels()), 1);
    EXPECT_EQ(resource_cost(terms, all), oracle().at(what + " cost")[1]);
    // With the dense cost as strength, lambda is 1.
    const auto gradients = added_gradients(
        *net, {{"strength", cat(resource_cost(terms, all))}, {"resource", what}}, image);
    double penalty = 0.0;
    for (const char* layer : {"a", "b", "c", "d"}) {
      const std::vector<double>& expected = oracle().at(cat(what, " gradient ", layer));
      const std::vector<double>& got = gradients.at(cat("norm_", layer, ".weight"));
      const std::vector<double>& gamma = oracle().at(cat("gamma ", layer));
      for (size_t c = 0; c < expected.size(); ++c) {
        EXPECT_NEAR(got[c], expected[c], kOracleTolerance * std::abs(expected[c]))
            << what << " " << layer << " " << c;
        penalty += got[c] * gamma[c];  // linear in the scales
      }
    }
    EXPECT_NEAR(penalty, oracle().at(what + " penalty")[0], kOracleTolerance * penalty);
    for (const auto& [name, gradient] : gradients) {
      if (name.starts_with("norm_") && name.ends_with("weight")) continue;
      for (const double g : gradient) EXPECT_EQ(g, 0.0) << name;
    }
  }
}

TEST(MorphNet, CountsWhoIsAliveAnewInEveryStep) {
  const auto net = tiny_conv_net();
  const OptionTexts given = {{"strength", "1"}};
  const double before = added_gradients(*net, given, {3, 8, 8}).at("4.weight")[0];
  std::vector<double> scales(8, 1.0);
  scales[0] = scales[1] = 0.01;  // on the threshold: dead
  set(*net, "1.weight", scales);
  // conv 8>16 behind: its outputs cost 64 * 9 for each of six inputs instead of eight, and 64 * 3
  // in the linear layer as ever.
  const double after = added_gradients(*net, given, {3, 8, 8}).at("4.weight")[0];
  EXPECT_NEAR(after / before, (576.0 * 6 + 192.0) / (576.0 * 8 + 192.0), 1e-6);
}

TEST(MorphNet, ReadsEveryPartOfAConcatenation) {
  const auto net = std::make_unique<Net>(
      Net::Parts{{"left", conv(1, 2, 1)},
                 {"norm_left", norm(2)},
                 {"right", conv(1, 3, 1)},
                 {"norm_right", norm(3)},
                 {"out", conv(5, 4, 1)}},
      [](Net& net, const Variable& x) {
        const Variable left = net["norm_left"](net["left"](x));
        return net["out"](concat({left, net["norm_right"](net["right"](x))}, 1));
      });
  const auto gradients = added_gradients(*net, {{"strength", "1"}}, {1, 2, 2});
  // Of 4 positions: makes 4 * 1, reads 4 * 4; dense 4 * (2 + 3 + 20).
  for (const char* name : {"norm_left.weight", "norm_right.weight"}) {
    for (const double g : gradients.at(name)) EXPECT_NEAR(g, 20.0 / 100.0, 1e-6) << name;
  }
}

TEST(MorphNet, RemovesAtTheThresholdWhatNoNormOfAGroupKeepsAlive) {
  const auto net = oracle_net();
  set(*net, "norm_a.weight", {1, 0.01, 0, 0.5});
  set(*net, "norm_b.weight", {1, 0.005, 0, 0});
  set(*net, "norm_c.weight", {1, -0.01, 0.02, 0});
  set(*net, "norm_d.weight", {1, 1, 0, 1, -0.009, 1});
  const auto pruner = make_pruner("morphnet",
                                  parse_settings(method("morphnet"), {{"select", "threshold"}}),
                                  {.input_shape = {3, 8, 8}});
  pruner->prune(*net, nullptr, Sparsity(0.9));
  EXPECT_EQ(mask_of(net->parameter("norm_b.weight")), (std::vector<int>{1, 0, 1, 1}));
  EXPECT_EQ(mask_of(net->parameter("norm_d.weight")), (std::vector<int>{1, 1, 0, 1, 0, 1}));
  EXPECT_EQ(mask_of(net->parameter("fc.bias")), (std::vector<int>{1, 1, 1}));
}

TEST(MorphNet, HasNoTargetWhileTheThresholdDecides) {
  const auto net = tiny_conv_net();
  const PruneInputs inputs = {.input_shape = {3, 8, 8}};
  const auto by_threshold = make_pruner(
      "morphnet",
      parse_settings(method("morphnet"), {{"target", "macs=0.5"}, {"select", "threshold"}}),
      inputs);
  EXPECT_THROW(by_threshold->prune(*net, nullptr, Sparsity(0.5)), ValueError);
  const auto by_number =
      make_pruner("morphnet", parse_settings(method("morphnet"), {{"target", "macs=0.5"}}), inputs);
  by_number->prune(*net, nullptr, Sparsity(0.5));
  const nn::ModelCount count = nn::count_model(*net, Shape{3, 8, 8});
  EXPECT_LE(count.total.macs_effective, count.total.macs_dense / 2);
}

TEST(MorphNet, RefusesANetworkWithoutBatchNorm) {
  const auto net = testing::tiny_mlp();
  EXPECT_THROW(added_gradients(*net, {}, {3, 8, 8}), ValueError);
}

TEST(MorphNet, ExpandsToWhatTheNetworkCostBefore) {
  const auto net = tiny_conv_net();
  const Shape image = {3, 8, 8};
  set(*net, "1.weight", {1, 0, 1, 0, 1, 0, 1, 0});  // half of the first layer
  const auto budget = make_budget(BudgetKind::Macs, *net, {.input_shape = image}, 1);
  const double dense = budget->cost(*dense_copy(*net));
  const auto pruner = make_pruner("morphnet",
                                  parse_settings(method("morphnet"), {{"select", "threshold"}}),
                                  {.input_shape = image});
  pruner->prune(*net, nullptr, Sparsity(0.9));
  const Variable sample(Tensor::zeros(image.inserted(0, 1)));
  shrink(*net, sample);
  // 64 positions: 64 * 9 * (3 a + a b) + 64 * 3 b of widths a = 4, b = 16 and their multiples.
  const double factor = widest_factor(*net, sample, *budget, dense);
  const auto groups = trace_channels(*net, sample).groups(*net);
  widen(*net, sample, widths_times(groups, factor), {.fresh = Fresh::All});
  const double cost = budget->cost(*net);
  EXPECT_LE(cost, dense);
  EXPECT_GT(factor, 1.2);
  const auto macs = [](double f) {
    const double a = std::floor(f * 4.0 + 1e-9);
    const double b = std::floor(f * 16.0 + 1e-9);
    return 576.0 * (3.0 * a + a * b) + 192.0 * b;
  };
  EXPECT_EQ(cost, macs(factor));
  EXPECT_GT(macs(std::floor(factor * 16.0 + 1.0 + 1e-9) / 16.0), dense);
}

}  // namespace
}  // namespace espalier::prune
