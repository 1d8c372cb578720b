// SPDX-License-Identifier: Apache-2.0
// Gates of one layer: hand-worked values and gradients, and how gates travel with a network.
#include <cmath>
#include <limits>
#include <thread>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/counting.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/sequential.h>
#include <espalier/nn/sgd.h>
#include <espalier/nn/tests/support.h>
#include <espalier/nn/trace.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;

constexpr double kTolerance = 1e-5;
constexpr double kNetworkTolerance = 1e-4;

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

void expect_near(const Tensor& got, const std::vector<double>& expected, double tolerance) {
  const std::vector<double> values = got.to_vector<double>();
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], tolerance) << i;
}

/// One position, 2 channels to 4: means of |x| are (1, 2), normalized outputs (.4, -.2, .3, 1).
struct BoostedLayer {
  BoostedLayer(bool relu) : norm({.channels = 4, .relu = relu}) {
    set(conv.weight, {0.4F, 0, -0.2F, 0, 0.3F, 0, 1, 0});
    gate = add_channel_gate(site_of(conv, &norm));
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
  std::shared_ptr<ChannelGate> gate;
  Tensor x = pixel({1, -2});
};

TEST(ChannelGate, BoostsTheTwoMostSalientChannelsAndComputesNoOther) {
  BoostedLayer layer(/*relu=*/true);
  expect_near(layer.gate->forward(Variable(layer.x)).value(), {0, 2.5, 0, 2}, kTolerance);
  // beta stands inside of the product: 2.5 * (-.2 + .1) is cut by the ReLU, 2 * (1 + .1) stays.
  expect_near(layer(layer.x).value(), {0, 0, 0, 2.2}, kTolerance);
  BoostedLayer linear(/*relu=*/false);
  expect_near(linear(linear.x).value(), {0, -0.25, 0, 2.2}, kTolerance);
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
  explicit GatedSums(PositionGate::Options options = {.parts = 2}) {
    set(conv.weight, {0.5F, 1.5F, 3.5F, -0.5F});
    gate = add_position_gate(site_of(conv), options);
    normalize_nothing(gate->running_mean, gate->running_var);
    conv.eval();
  }
  Variable operator()() { return conv(Variable(x)); }

  Conv2d conv{{.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false}};
  std::shared_ptr<PositionGate> gate;
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
  EXPECT_THROW(add_position_gate(site_of(odd), {.parts = 2}), ValueError);
  Conv2d grouped({.in_channels = 4, .out_channels = 4, .groups = 2});
  EXPECT_THROW(add_position_gate(site_of(grouped), {.parts = 2}), ValueError);
}

/// A small residual network with scales and statistics that are not the initial ones.
SavedModel network(const std::string& name) {
  SavedModel out;
  out.name = name;
  out.options.width = 0.25;
  out.module = make_model(name, out.options);
  Rng rng(5, "scales");
  for (const NamedModule& part : out.module->named_modules()) {
    if (auto* norm = dynamic_cast<BatchNorm*>(part.module)) {
      fill_uniform_(norm->weight.value.value(), rng, 0.5, 1.5);
      fill_uniform_(norm->bias.value.value(), rng, -0.2, 0.2);
      fill_uniform_(norm->running_var, rng, 0.5, 1.5);
    }
  }
  return out;
}

Variable images(int64_t count) {
  Tensor x = Tensor::empty({count, 3, 32, 32});
  Rng rng(9, "images");
  fill_normal_(x, rng);
  return Variable(x.to(Layout::Nchw16n));
}

Tensor logits(Module& model, const Variable& x) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  return model(x).value();
}

void add_gates(Module& model, const std::string& kind, int64_t kept_share = 2) {
  for (const GateSite& site : gate_sites(model, images(1))) {
    if (kind == "channels") {
      const auto gate = add_channel_gate(site);
      Rng rng(3, site.name);
      fill_normal_(gate->weight.value.value(), rng, 0.0, 0.3);
      gate->keep(std::max<int64_t>(1, gate->kept() / kept_share));
    } else {
      add_position_gate(site, {.parts = 2});
    }
  }
}

class Gates : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  std::string kind() const { return std::get<0>(GetParam()); }
  SavedModel gated() const {
    SavedModel out = network(std::get<1>(GetParam()));
    add_gates(*out.module, kind());
    // Statistics that fit, else boosts of boosted channels grow beyond all measure.
    const NoGrad no_grad;
    out.module->train();
    for (int pass = 0; pass < 20; ++pass) (*out.module)(images(2));
    return out;
  }
};

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
  for (const GatedLayer& one : gated_layers(*net.module)) {
    for (const NamedParameter& p : one.gate->named_parameters())
      p.parameter->value.value().fill_(0.5);
  }
  EXPECT_EQ(logits(*copy, x).to_vector<double>(), expected);
  EXPECT_NE(logits(*net.module, x).to_vector<double>(), expected);
}

TEST_P(Gates, APlanSkipsAsTheModuleDoes) {
  const SavedModel net = gated();
  const InferencePlan plan = compile(*net.module, images(1));
  EXPECT_TRUE(is_gated(*net.module));
  const Tensor plain = images(37).value().to(Layout::Nchw);
  int alike = 0;
  for (int64_t n = 0; n < 37; ++n) {
    const Tensor x = plain.slice(0, n, n + 1).clone();
    const MacCounter of_module;
    const Tensor expected = logits(*net.module, Variable(x));
    const int64_t macs = of_module.macs();
    const MacCounter of_plan;
    const Tensor y = plan.run(x);
    // Other rounding opens another gate where a sum lies at its threshold: rarely.
    if (of_plan.macs() != macs) continue;
    ++alike;
    expect_near(y, expected.to_vector<double>(), kNetworkTolerance);
  }
  EXPECT_GE(alike, 34);
}

TEST_P(Gates, ASampleOfAPlanHasTheSameBitsInAnyCompany) {
  const SavedModel net = gated();
  const Variable x = images(37);  // groups of 16, and a part of one
  const InferencePlan plan = compile(*net.module, x);
  const Tensor y = plan.run(x.value()).to(Layout::Nchw);
  const Tensor plain = x.value().to(Layout::Nchw);
  EXPECT_EQ(plan.run(plain).to_vector<float>(), y.to_vector<float>());
  const int threads = num_threads();
  for (const int n : {0, 15, 16, 36}) {
    set_num_threads(n % 2 == 0 ? 3 : 1);
    const Tensor one = compile(*net.module, images(1)).run(plain.slice(0, n, n + 1).clone());
    EXPECT_EQ(one.to_vector<float>(), y.slice(0, n, n + 1).clone().to_vector<float>()) << n;
  }
  set_num_threads(threads);
}

// Layers whose weights no cache of a core holds run for all samples side by side.
TEST(Gates, SideBySideSamplesOfAPlanHaveTheBitsThatTheyHaveAlone) {
  Sequential model;
  model.add(Conv2d({.in_channels = 3, .out_channels = 64, .kernel = 1}));
  model.add(Conv2d({.in_channels = 64, .out_channels = 512, .padding = 1}));
  model.add(BatchNorm2d({.channels = 512, .relu = true}));
  model.add(Conv2d({.in_channels = 512, .out_channels = 130, .padding = 1}));
  model.add(BatchNorm2d({.channels = 130, .relu = true}));
  const Tensor x = random_tensor({19, 3, 4, 4}, 3);
  for (const GateSite& site : gate_sites(model, Variable(x))) {
    const auto gate = add_channel_gate(site);
    Rng rng(4, site.name);
    fill_normal_(gate->weight.value.value(), rng, 0.0, 0.3);
    gate->keep(gate->kept() / 3);
  }
  const InferencePlan plan = compile(model, Variable(x));
  const MacCounter of_all;
  const Tensor y = plan.run(x);
  int64_t alone = 0;
  for (int64_t n = 0; n < 19; ++n) {
    const MacCounter of_one;
    EXPECT_EQ(plan.run(x.slice(0, n, n + 1).clone()).to_vector<float>(),
              y.slice(0, n, n + 1).clone().to_vector<float>())
        << n;
    alone += of_one.macs();
  }
  EXPECT_EQ(of_all.macs(), 2 * alone);  // of_all has seen both
  expect_near(y, logits(model, Variable(x)).to_vector<double>(), kNetworkTolerance);
}

TEST_P(Gates, APlanCountsTheMacsOfOpenGates) {
  const SavedModel net = gated();
  const Variable x = images(18);
  const InferencePlan plan = compile(*net.module, x);
  const Tensor plain = x.value().to(Layout::Nchw);
  int64_t alone = 0;
  for (int64_t n = 0; n < 18; ++n) {
    const MacCounter of_one;
    plan.run(plain.slice(0, n, n + 1).clone());
    EXPECT_LT(of_one.macs(), plan.macs());
    alone += of_one.macs();
  }
  const MacCounter of_all;
  plan.run(x.value());
  EXPECT_EQ(of_all.macs(), alone);
}

TEST_P(Gates, APlanOfThemIsSavedAndRunsFromFourThreads) {
  const SavedModel net = gated();
  const Variable x = images(18);
  const InferencePlan plan = compile(*net.module, x);
  const TemporaryFolder folder;
  const auto file = folder / "plan.safetensors";
  plan.save(file);
  const InferencePlan loaded = InferencePlan::load(file);
  EXPECT_EQ(loaded.describe(), plan.describe());
  EXPECT_NE(plan.describe().find(kind()), std::string::npos) << plan.describe();
  const std::vector<float> expected = plan.run(x.value()).to_vector<float>();
  std::vector<std::vector<float>> results(4);
  std::vector<std::thread> callers;
  for (auto& result : results) {
    callers.emplace_back([&] { result = loaded.run(x.value()).to_vector<float>(); });
  }
  for (std::thread& caller : callers) caller.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
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
    for (const GateSite& site : gate_sites(*net.module, images(1))) add_channel_gate(site);
    expect_near(logits(*net.module, x), expected, kNetworkTolerance);
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
    EXPECT_THROW(restore_gates(*net.module, text), ValueError) << text;
  }
}

}  // namespace
}  // namespace espalier::nn
