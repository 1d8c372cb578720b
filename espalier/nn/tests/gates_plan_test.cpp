// SPDX-License-Identifier: Apache-2.0
// Networks with gates as inference plans: they decide as the module does, and skip.
#include <cmath>
#include <thread>

#include <gtest/gtest.h>

#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/safetensors.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/gates_support.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;

class GatedPlans : public GatedNetworks {};

TEST_P(GatedPlans, SkipAsTheModuleDoes) {
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

// Channels of many samples: gates_lanes_test.cpp.
TEST(GatedPlan, PositionsHaveTheSameBitsInAnyCompany) {
  const SavedModel net = network("resnet20");
  add_gates(*net.module, "positions");
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
TEST(GatedPlan, SamplesSideBySideHaveTheBitsThatTheyHaveAlone) {
  Sequential model;
  model.add(Conv2d({.in_channels = 3, .out_channels = 64, .kernel = 1}));
  model.add(Conv2d({.in_channels = 64, .out_channels = 512, .padding = 1}));
  model.add(BatchNorm2d({.channels = 512, .relu = true}));
  model.add(Conv2d({.in_channels = 512, .out_channels = 130, .padding = 1}));
  model.add(BatchNorm2d({.channels = 130, .relu = true}));
  const Tensor x = random_tensor({19, 3, 4, 4}, 3);
  for (const GateSite& site : gate_sites(model, Variable(x))) {
    const auto gate = add_saliency_gate(site);
    Rng rng(4, site.name);
    fill_normal_(gate->weight.value.value(), rng, 0.0, 0.3);
    gate->keep(gate->kept() / 8);  // so few that samples run in planes
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

TEST_P(GatedPlans, CountTheMacsOfOpenGates) {
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
  if (kind() == "positions") {
    EXPECT_EQ(of_all.macs(), alone);
  } else {  // in the lanes, what any of sixteen needs; the narrow ResNet stays in planes
    EXPECT_GE(of_all.macs(), alone);
    EXPECT_LT(of_all.macs(), 18 * plan.macs());
  }
}

TEST_P(GatedPlans, AreSavedAndRunFromFourThreads) {
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

TEST_P(GatedPlans, OfAFileMustFitTheirWeights) {
  const SavedModel net = gated();
  const TemporaryFolder folder;
  const auto path = folder / "plan.safetensors";
  compile(*net.module, images(1)).save(path);
  SafetensorsFile file = load_safetensors(path);
  std::string& text = file.metadata.at("espalier_plan");
  const std::string key = kind() == "channels" ? "\"kept\":" : "\"parts\":";
  const size_t at = text.find(key) + key.size();
  text.replace(at, text.find_first_of(",}", at) - at, "4097");
  save_safetensors(path, file);
  try {
    InferencePlan::load(path);
    FAIL() << "was loaded";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("gate of " + kind()), std::string::npos)
        << error.what();
  }
}

// What is folded into a gated layer's weights is multiplied by its saliencies: a second batch norm
// is not.
TEST(GatedPlan, ABatchNormBehindAGatedOneStaysApart) {
  Sequential model;
  model.add(Conv2d({.in_channels = 3, .out_channels = 8, .padding = 1}));
  model.add(Conv2d({.in_channels = 8, .out_channels = 8, .padding = 1}));
  model.add(BatchNorm2d({.channels = 8}));
  model.add(BatchNorm2d({.channels = 8}));
  disturb_batch_norms(model);
  const Tensor x = random_tensor({2, 3, 6, 6}, 3);
  for (const GateSite& site : gate_sites(model, Variable(x))) {
    const auto gate = add_saliency_gate(site);
    gate->bias.value.value().fill_(2.0);
    gate->keep(5);
  }
  expect_near(compile(model, Variable(x)).run(x),
              logits(model, Variable(x)).to_vector<double>(),
              kNetworkTolerance);
}

TEST_P(GatedPlans, KeepTheNaNsOfAnImageToItself) {
  const SavedModel net = gated();
  Tensor x = images(3).value().to(Layout::Nchw).clone();
  const Tensor expected = compile(*net.module, images(3)).run(x);
  for (int64_t i = 0; i < x.numel() / 3; ++i) x.data<float>()[i] = std::nanf("");
  const Tensor y = compile(*net.module, images(3)).run(x);
  const Tensor of_module = logits(*net.module, Variable(x)).to(Layout::Nchw);
  for (int64_t i = 0; i < y.numel(); ++i) {
    if (i < y.size(1)) {
      EXPECT_TRUE(std::isnan(y.data<float>()[i])) << i;
      EXPECT_TRUE(std::isnan(of_module.data<float>()[i])) << i;
    } else {
      EXPECT_EQ(y.data<float>()[i], expected.data<float>()[i]) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds,
                         GatedPlans,
                         ::testing::Combine(::testing::Values("channels", "positions"),
                                            ::testing::Values("resnet20", "vgg11")));

}  // namespace
}  // namespace espalier::nn
