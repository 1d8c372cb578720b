// SPDX-License-Identifier: Apache-2.0
// Gates of one layer: hand-worked values and gradients, and how gates travel with a network.
#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/compress/edc_file.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/gates_support.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;

constexpr double kTolerance = 1e-5;

Tensor pixel(const std::vector<float>& channels) {
  return Tensor::from<float>({1, static_cast<int64_t>(channels.size()), 1, 1}, channels);
}

void set(Parameter& parameter, const std::vector<float>& values) {
  parameter.value.value().copy_(Tensor::from<float>(parameter.shape(), values));
}

/// Running statistics under which normalizing changes nothing.
void normalize_nothing(Tensor& mean, Tensor& var) {
  mean.fill_(0.0);
  var.fill_(1.0 - 1e-5);
}

GateSite site_of(Conv2d& layer, BatchNorm* norm = nullptr) {
  GateSite site;
  site.name = "layer";
  site.layer = &layer;
  site.norm = norm;
  return site;
}

/// One position, 2 channels to 4: means of |x| are (1, 2), normalized outputs (.4, -.2, .3, 1).
struct BoostedLayer {
  BoostedLayer(bool relu) : norm({.channels = 4, .relu = relu}) {
    set(conv.weight, {0.4F, 0, -0.2F, 0, 0.3F, 0, 1, 0});
    gate = add_saliency_gate(site_of(conv, &norm));
    set(gate->weight, {1, -1, 0.5F, 0.5F, 0, -1, 1, 0});
    set(norm.bias, {0.1F, 0.1F, 0.1F, 0.1F});
    normalize_nothing(norm.running_mean, norm.running_var);
    gate->keep(2);
    conv.eval();
    norm.eval();
  }
  Variable operator()(const Tensor& x) { return norm(conv(Variable(x))); }

  Conv2d conv{{.in_channels = 2, .out_channels = 4, .kernel = 1, .bias = false}};
  BatchNorm2d norm;
  std::shared_ptr<Saliency> gate;
  Tensor x = pixel({1, -2});
};

TEST(ChannelGate, BoostsTheTwoMostSalientChannelsAndComputesNoOther) {
  BoostedLayer layer(/*relu=*/true);
  expect_near((*layer.gate)(Variable(layer.x)).value(), {0, 2.5, 0, 2}, kTolerance);
  // beta stands inside of the product: 2.5 * (-.2 + .1) is cut by the ReLU, 2 * (1 + .1) stays.
  expect_near(layer(layer.x).value(), {0, 0, 0, 2.2}, kTolerance);
  BoostedLayer linear(/*relu=*/false);
  expect_near(linear(linear.x).value(), {0, -0.25, 0, 2.2}, kTolerance);
}

TEST(ChannelGate, SaliencyIsTheMeanOverSpace) {
  // Means of |x| are (1, 2) again; sums would give the saliencies (0, 4, 0, 3).
  BoostedLayer layer(/*relu=*/false);
  const Tensor x = Tensor::from<float>({1, 2, 2, 1}, {0.5F, 1.5F, -3, 1});
  expect_near((*layer.gate)(Variable(x)).value(), {0, 2.5, 0, 2}, kTolerance);
  const std::vector<double> expected = {0, 0, 0, -0.5, 0, 0, 1.2, 3.2};
  expect_near(layer(x).value(), expected, kTolerance);
  const NoGrad no_grad;
  expect_near(layer(x).value(), expected, kTolerance);
}

TEST(ChannelGate, GradientReachesTheChosenSaliencies) {
  BoostedLayer layer(/*relu=*/false);
  sum(layer(layer.x)).backward();
  // d/d phi_kc = (normalized + beta) * mean|x_c|.
  expect_near(
      layer.gate->weight.value.grad().value(), {0, 0, -0.1, -0.2, 0, 0, 1.1, 2.2}, kTolerance);
  expect_near(layer.gate->bias.value.grad().value(), {0, -0.1, 0, 1.1}, kTolerance);
  EXPECT_FALSE(layer.norm.weight.value.grad().defined());  // pi has taken its place
}

TEST(ChannelGate, WhatIsGatedOffIsNotComputedNorCounted) {
  BoostedLayer layer(/*relu=*/true);
  layer.conv.weight.value.value().data<float>()[0] = NAN;  // of channel 0, which stays closed
  const NoGrad no_grad;
  MacCounter counter;
  expect_near(layer(layer.x).value(), {0, 0, 0, 2.2}, kTolerance);
  EXPECT_EQ(counter.macs(), 2 * 2 + 2 * 4);  // two inputs to two outputs, and the predictor
  MacCounter dark;
  expect_near(layer(pixel({0, -2})).value(), {0, 0.2, 0, 0.1}, kTolerance);
  EXPECT_EQ(dark.macs(), 1 * 2 + 2 * 4);  // an input channel of zeros is skipped too
}

TEST(ChannelGate, ANaNIsAmongTheLargest) {
  const float nan = std::nanf("");
  const Tensor g = Tensor::from<float>({2, 5}, {1, nan, 3, nan, 2, 5, 4, nan, 1, 0});
  EXPECT_EQ(largest_in_rows(g, 3).to_vector<float>(),
            (std::vector<float>{0, 1, 1, 1, 0, 1, 1, 1, 0, 0}));
}

TEST(ChannelGate, EqualSaliencesKeepExactlyK) {
  const Tensor g = Tensor::from<float>({2, 4}, {1, 1, 1, 1, 0, 3, 3, 3});
  expect_near(largest_in_rows(g, 2), {1, 1, 0, 0, 0, 1, 1, 0}, 0.0);
  expect_near(largest_in_rows(g.to(Layout::Nchw16n), 4), std::vector<double>(8, 1.0), 0.0);
}

TEST(ChannelGate, ANormWithoutItsConvolutionIsAnError) {
  BoostedLayer layer(/*relu=*/true);
  EXPECT_THROW(layer.norm(Variable(pixel({1, 1, 1, 1}))), ValueError);
  EXPECT_THROW(layer.gate->keep(0), ValueError);
  EXPECT_THROW(layer.gate->keep(5), ValueError);
}

/// One position, 2 channels to 2, two parts: partial sums (.5, -.5), full sums (2, 3).
struct GatedSums {
  explicit GatedSums(PartialSumGateOptions options = {.parts = 2}) {
    set(conv.weight, {0.5F, 1.5F, 3.5F, -0.5F});
    gate = add_partial_sum_gate(site_of(conv), options);
    normalize_nothing(gate->running_mean, gate->running_var);
    conv.eval();
  }
  Variable operator()() { return conv(Variable(x)); }

  Conv2d conv{{.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false}};
  std::shared_ptr<PartialSum> gate;
  Tensor x = pixel({1, 1});
};

TEST(PositionGate, AddsTheRestWhereThePartialSumIsLarge) {
  GatedSums layer;
  expect_near(layer().value(), {2, -0.5}, kTolerance);
}

TEST(PositionGate, TheRestIsNotComputedNorCountedWhereTheGateIsClosed) {
  GatedSums layer;
  layer.conv.weight.value.value().data<float>()[2] = NAN;  // the rest of channel 1
  const NoGrad no_grad;
  MacCounter counter;
  expect_near(layer().value(), {2, -0.5}, kTolerance);
  EXPECT_EQ(counter.macs(), 2 + 1);  // two partial sums of one product, one rest of one
}

TEST(PositionGate, ThresholdsAtInfinityGiveTheWholeAndThePartialSums) {
  GatedSums layer;
  const float infinity = std::numeric_limits<float>::infinity();
  set(layer.gate->threshold, {-infinity, -infinity});
  expect_near(layer().value(), {2, 3}, kTolerance);
  set(layer.gate->threshold, {infinity, infinity});
  expect_near(layer().value(), {0.5, -0.5}, kTolerance);
}

TEST(PositionGate, OnePartIsTheDenseLayerWhateverTheThreshold) {
  GatedSums layer({.parts = 1});
  set(layer.gate->threshold, {100, 100});
  expect_near(layer().value(), {2, 3}, kTolerance);
}

/// Two channels of values from N(3, 2²), each being the partial sum of one output.
Tensor drawn_sums(uint64_t seed) {
  Tensor x = Tensor::empty({32, 2, 32, 32});
  Rng rng(seed, "partial sums");
  fill_normal_(x, rng, 3.0, 2.0);
  return x;
}

/// The fraction of values to which something was added.
double changed_share(const Tensor& after, const Tensor& before) {
  const std::vector<double> a = after.to_vector<double>();
  const std::vector<double> b = before.to_vector<double>();
  int64_t changed = 0;
  for (size_t i = 0; i < a.size(); ++i) changed += a[i] != b[i];
  return static_cast<double>(changed) / static_cast<double>(a.size());
}

TEST(PositionGate, ThresholdsCountInDeviationsAboveTheMean) {
  // P(normal > 1); without normalization 0.84, without its mean 0.69, without its spread 0.31. The
  // tolerance is four deviations of the mean of 65,536 decisions.
  constexpr double kAbove = 0.158655;
  constexpr double kSampling = 4.0 * 0.00143;
  GatedSums layer;
  set(layer.conv.weight, {1, 1, 1, 1});
  set(layer.gate->threshold, {1, 1});
  layer.gate->running_mean.fill_(0.0);
  layer.gate->running_var.fill_(1.0);
  const auto opened = [&](const Tensor& x) {
    return changed_share(layer.conv(Variable(x)).value(), x);
  };
  layer.conv.train();
  EXPECT_NEAR(opened(drawn_sums(0)), kAbove, kSampling) << "training";
  for (uint64_t pass = 1; pass < 100; ++pass) opened(drawn_sums(pass));  // statistics settle
  layer.conv.eval();
  EXPECT_NEAR(opened(drawn_sums(1000)), kAbove, kSampling) << "masked";
  const NoGrad no_grad;
  MacCounter counter;
  EXPECT_NEAR(opened(drawn_sums(1001)), kAbove, kSampling) << "skipping";
  EXPECT_LT(counter.macs(), 2 * 65'536 * 6 / 10);  // one product always, another where it is open
}

TEST(PositionGate, DecisionHasTheSlopeOfASigmoid) {
  GatedSums layer;
  set(layer.gate->threshold, {0.5F, 1.0F});
  sum(layer()).backward();
  // d y / d Delta = -alpha s (1-s) * rest; s = 1/2 at the threshold, sigmoid(-3) far below it.
  const double s = 1.0 / (1.0 + std::exp(3.0));
  expect_near(layer.gate->threshold.value.grad().value(),
              {-2.0 * 0.25 * 1.5, -2.0 * s * (1.0 - s) * 3.5},
              kTolerance);

  GatedSums sparse({.parts = 2, .sparse_back = true});
  set(sparse.gate->threshold, {0.5F, 1.0F});
  sum(sparse()).backward();
  expect_near(sparse.gate->threshold.value.grad().value(), {-0.75, 0.0}, kTolerance);
}

TEST(PositionGate, ThresholdsDoNotDecay) {
  GatedSums layer;
  layer.conv.train();
  set(layer.gate->threshold, {0.5F, -0.5F});
  Sgd sgd(layer.conv, {.lr = 0.1}, /*weight_decay=*/1.0);
  (sum(layer.gate->threshold.value) * 0.0 + sum(layer.conv.weight.value) * 0.0).backward();
  sgd.step();
  expect_near(layer.gate->threshold.value.value(), {0.5, -0.5}, 0.0);
  expect_near(layer.conv.weight.value.value(), {0.45, 1.35, 3.15, -0.45}, kTolerance);
}

TEST(PositionGate, RefusesWhatItCannotCut) {
  Conv2d odd({.in_channels = 3, .out_channels = 4});
  EXPECT_THROW(add_partial_sum_gate(site_of(odd), {.parts = 2}), ValueError);
  Conv2d grouped({.in_channels = 4, .out_channels = 4, .groups = 2});
  EXPECT_THROW(add_partial_sum_gate(site_of(grouped), {.parts = 2}), ValueError);
}

class Gates : public GatedNetworks {};

TEST_P(Gates, AnImageIsTheSameInAnyCompany) {
  const SavedModel net = gated();
  const Variable all = images(5);
  const Tensor together = logits(*net.module, all).to(Layout::Nchw);
  const Tensor plain = all.value().to(Layout::Nchw);
  for (int64_t n = 0; n < 5; ++n) {
    const Tensor one = plain.slice(0, n, n + 1).clone().to(Layout::Nchw16n);
    expect_near(logits(*net.module, Variable(one)),
                together.slice(0, n, n + 1).clone().to_vector<double>(),
                kNetworkTolerance);
  }
}

TEST_P(Gates, SkippingComputesWhatMaskedDenseOpsDo) {
  const SavedModel net = gated();
  const Variable x = images(3);
  const EvalScope eval(*net.module);
  const std::vector<double> masked = (*net.module)(x).value().to_vector<double>();  // recorded
  expect_near(logits(*net.module, x), masked, kNetworkTolerance);
  expect_near(logits(*net.module, Variable(x.value().to(Layout::Nchw))), masked, kNetworkTolerance);
}

TEST_P(Gates, ExecutedMacsAreThoseOfOpenGates) {
  const SavedModel net = gated();
  const Variable x = images(1);
  const int64_t dense = count_model(*network(net.name).module, Shape{3, 32, 32}).total.macs_dense;
  MacCounter counter;
  logits(*net.module, x);
  EXPECT_LT(counter.macs(), dense);
  EXPECT_GT(counter.macs(), dense / 10);
}

TEST_P(Gates, DecisionsDoNotDependOnThreads) {
  const SavedModel net = gated();
  const Variable x = images(1);
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<double> alone = logits(*net.module, x).to_vector<double>();
  set_num_threads(3);
  EXPECT_EQ(logits(*net.module, x).to_vector<double>(), alone);
  set_num_threads(before);
}

TEST_P(Gates, SavedAndClonedNetworksDecideAlike) {
  const SavedModel net = gated();
  const TemporaryFolder folder;
  const auto file = folder / "net.safetensors";
  save_model(file, net.name, net.options, *net.module);
  const SavedModel loaded = load_model(file);
  const Variable x = images(3);
  const std::vector<double> expected = logits(*net.module, x).to_vector<double>();
  EXPECT_EQ(logits(*loaded.module, x).to_vector<double>(), expected);

  const std::unique_ptr<Module> copy = net.module->clone();
  for (const PlacedGate& one : placed_gates(*net.module)) {
    for (const NamedParameter& p : one.part->named_parameters())
      p.parameter->value.value().fill_(0.5);
  }
  EXPECT_EQ(logits(*copy, x).to_vector<double>(), expected);
  EXPECT_NE(logits(*net.module, x).to_vector<double>(), expected);
}

TEST_P(Gates, CompressedNetworksDecideAlike) {
  const SavedModel net = gated();
  const auto compressed = [](const SavedModel& one) {
    return compress::decode_edc(
        compress::encode_edc(one.name, one.options, *one.module, {}, nullptr), "test");
  };
  // Weights are clustered on the first way, and then have few values, which are stored exactly.
  const SavedModel once = compressed(net);
  const SavedModel twice = compressed(once);
  const Variable x = images(3);
  EXPECT_EQ(logits(*twice.module, x).to_vector<double>(),
            logits(*once.module, x).to_vector<double>());
  const std::vector<NamedBuffer> before = net.module->named_buffers();
  const std::vector<NamedBuffer> after = twice.module->named_buffers();
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].buffer->dtype(), before[i].buffer->dtype()) << before[i].name;
    EXPECT_EQ(after[i].buffer->to_vector<double>(), before[i].buffer->to_vector<double>());
  }
}

TEST(ChannelGate, ANumberOfChannelsThatAFileMadeUpIsAnError) {
  Saliency gate({.in_channels = 2, .out_channels = 4});
  for (const int64_t number : {int64_t{0}, int64_t{5}, int64_t{1} << 40}) {
    gate.named_buffers().front().buffer->data<int64_t>()[0] = number;
    testing::expect_error<ValueError>(
        [&] {
          gate(Variable(Tensor::ones({1, 2, 3, 3})));
        },
        {"keeps 1..4", std::to_string(number)});
  }
}

TEST_P(Gates, TakenOffLeaveThePlainNetwork) {
  const SavedModel net = gated();
  remove_gates(*net.module);
  EXPECT_FALSE(is_gated(*net.module));
  EXPECT_EQ(compile(*net.module, images(1)).describe().find(kind()), std::string::npos);
  EXPECT_EQ(net.module->state_dict().size(), network(net.name).module->state_dict().size());
}

INSTANTIATE_TEST_SUITE_P(Kinds,
                         Gates,
                         ::testing::Combine(::testing::Values("channels", "positions"),
                                            ::testing::Values("resnet20", "vgg11")));

TEST(Gates, OpenChannelGatesComputeTheTrainedNetwork) {
  for (const char* name : {"resnet20", "vgg11"}) {
    const SavedModel net = network(name);
    const Variable x = images(2);
    const std::vector<double> expected = logits(*net.module, x).to_vector<double>();
    for (const GateSite& site : gate_sites(*net.module, images(1))) add_saliency_gate(site);
    const double largest =
        std::abs(*std::max_element(expected.begin(), expected.end(), [](double a, double b) {
          return std::abs(a) < std::abs(b);
        }));
    expect_near(logits(*net.module, x), expected, kNetworkTolerance * largest);
  }
}

TEST(Gates, SitesAreAllConvolutionsButTheFirstWithTheirNorms) {
  const SavedModel net = network("resnet20");
  const std::vector<GateSite> sites = gate_sites(*net.module, images(1));
  ASSERT_EQ(sites.size(), 18u);
  EXPECT_EQ(sites[0].name, "layer1.0.conv1");
  EXPECT_EQ(sites[0].norm_name, "layer1.0.bn1");
  EXPECT_EQ(sites[17].norm_name, "layer3.2.bn2");
}

TEST(Gates, BadDescriptionsAreErrors) {
  const SavedModel net = network("resnet20");
  for (const char* text : {"{",
                           R"({"nowhere":{"kind":"channels","settings":{},"norm":"bn1"}})",
                           R"({"conv1":{"kind":"portcullis","settings":{}}})",
                           R"({"conv1":{"kind":"channels","settings":{}}})",
                           R"({"conv1":{"kind":"positions","settings":{"parts":0}}})",
                           R"({"layer1.0.conv1":{"kind":"positions","settings":{"parts":2}}})"}) {
    EXPECT_THROW(restore_forms(*net.module, text), ValueError) << text;
  }
}

}  // namespace
}  // namespace espalier::nn
