// SPDX-License-Identifier: Apache-2.0
// Channel gates of many samples, sixteen in the lanes: each keeps its own choice, and what one of
// them chose is computed for all.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/gates/kernels/channel_lanes.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/gates_support.h>

namespace espalier::nn {
namespace {

constexpr float kBright = 1.0F;
constexpr float kDark = 0.1F;

TEST(ChannelLanes, DecideAsTheModuleDoes) {
  constexpr int64_t kIn = 7;
  constexpr int64_t kOut = 9;
  constexpr int64_t kSamples = 5;
  Saliency gate({.in_channels = kIn, .out_channels = kOut});
  Rng rng(1, "phi");
  fill_normal_(gate.weight.value.value(), rng);
  gate.keep(4);
  const Tensor x = random_tensor({kSamples, kIn, 3, 3}, 2);
  const Tensor lanes = x.to(Layout::Nchw16n);
  const NoGrad no_grad;
  const Tensor expected = gate(Variable(x)).value();

  Tensor means = Tensor::empty({kIn, kLanes});
  for (int64_t c = 0; c < kIn; ++c) {
    detail::magnitude_means(
        lanes.data<float>() + c * 9 * kLanes, 9, means.data<float>() + c * kLanes);
  }
  Tensor pi = Tensor::empty({kOut, kLanes});
  detail::decide_channels(
      {.phi = gate.weight.value.value(), .rho = gate.bias.value.value(), .kept = gate.kept()},
      means.data<float>(),
      kSamples,
      pi.data<float>());
  for (int64_t k = 0; k < kOut; ++k) {
    for (int64_t n = 0; n < kLanes; ++n) {
      const float have = pi.data<float>()[k * kLanes + n];
      const float want = n < kSamples ? expected.data<float>()[n * kOut + k] : 0.0F;
      EXPECT_NEAR(have, want, 1e-6) << k << " of sample " << n;
      EXPECT_EQ(have == 0.0F, want == 0.0F) << k << " of sample " << n;
    }
  }
}

// phi = 0: all samples have the saliencies rho.
Tensor decided(const std::vector<float>& rho, int64_t kept) {
  const auto out = static_cast<int64_t>(rho.size());
  const Tensor means = Tensor::ones({1, kLanes});
  Tensor pi = Tensor::empty({out, kLanes});
  detail::decide_channels(
      {.phi = Tensor::zeros({out, 1}), .rho = Tensor::from({out}, rho), .kept = kept},
      means.data<float>(),
      kLanes,
      pi.data<float>());
  return pi;
}

TEST(ChannelLanes, KeepTheFirstOfEqualOnes) {
  const Tensor pi = decided({2.0F, 3.0F, 2.0F, -1.0F, 2.0F, 0.5F}, 3);
  const std::vector<float> expected = {2.0F, 3.0F, 2.0F, 0.0F, 0.0F, 0.0F};
  for (int64_t i = 0; i < pi.numel(); ++i) {
    EXPECT_EQ(pi.data<float>()[i], expected[static_cast<size_t>(i / kLanes)]) << i;
  }
}

TEST(ChannelLanes, KeepNaNsSoThatTheyAreSeen) {
  const float nan = std::nanf("");
  const Tensor pi = decided({1e30F, -nan, std::numeric_limits<float>::infinity(), 3.0F}, 2);
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    EXPECT_EQ(pi.data<float>()[lane], 0.0F);
    EXPECT_TRUE(std::isnan(pi.data<float>()[kLanes + lane]));
    EXPECT_TRUE(std::isinf(pi.data<float>()[2 * kLanes + lane]));
    EXPECT_EQ(pi.data<float>()[3 * kLanes + lane], 0.0F);
  }
}

TEST(ChannelLanes, ListWhatAnySampleNeeds) {
  // Two blocks of samples, four channels, of which lanes 16 + 2 and beyond have no sample.
  std::vector<float> values(2 * 4 * kLanes, 0.0F);
  const auto at = [&](int64_t sample, int64_t channel) -> float& {
    return values[static_cast<size_t>((sample / kLanes * 4 + channel) * kLanes + sample % kLanes)];
  };
  at(15, 1) = 0.5F;
  at(17, 3) = -1.0F;
  at(18, 0) = 7.0F;  // no sample
  std::vector<int32_t> list(4);
  ASSERT_EQ(detail::list_channels(values.data(), 18, 4, list.data()), 2);
  EXPECT_EQ(list[0], 1);
  EXPECT_EQ(list[1], 3);
  EXPECT_EQ(detail::list_channels(values.data(), 15, 4, list.data()), 0);
  EXPECT_EQ(detail::list_channels(values.data(), 19, 4, list.data()), 3);
}

/// Of every element: zeros have signs.
std::vector<uint32_t> bits(const Tensor& plain) {
  std::vector<uint32_t> out;
  for (const float value : plain.clone().to_vector<float>()) {
    out.push_back(std::bit_cast<uint32_t>(value));
  }
  return out;
}

class GatedLanes : public GatedNetworks {
 protected:
  /// With statistics of the images that are tested: boosts stay near 1.
  SavedModel settled() const {
    SavedModel out = gated();
    const NoGrad no_grad;
    out.module->train();
    for (int pass = 0; pass < 20; ++pass) (*out.module)(images(37));
    return out;
  }
};

TEST_P(GatedLanes, GiveEverySampleItsOwnResult) {
  const SavedModel net = settled();
  const Tensor x = images(37).value().to(Layout::Nchw);
  const InferencePlan plan = compile(*net.module, images(37));
  EXPECT_FALSE(plan.runs_in_planes(37));
  const Tensor y = plan.run(x);
  const Tensor expected = logits(*net.module, Variable(x)).to(Layout::Nchw);
  int alike = 0;
  for (int64_t n = 0; n < 37; ++n) {
    const auto have = y.slice(0, n, n + 1).clone().to_vector<float>();
    const auto want = expected.slice(0, n, n + 1).clone().to_vector<float>();
    float largest = 0.0F;
    float error = 0.0F;
    for (size_t i = 0; i < have.size(); ++i) {
      largest = std::max(largest, std::abs(want[i]));
      error = std::max(error, std::abs(have[i] - want[i]));
    }
    // The module sums directly; Winograd's rounding errors are twice as large. And other rounding
    // chooses another channel at times.
    alike += error < 2 * kNetworkTolerance * largest ? 1 : 0;
  }
  EXPECT_GE(alike, 34);
}

TEST_P(GatedLanes, GiveTheSameBitsInAnyCompanyAndOnAnyThreads) {
  const SavedModel net = settled();
  const Tensor x = images(37).value().to(Layout::Nchw);
  const InferencePlan plan = compile(*net.module, images(37));
  const Tensor y = plan.run(x);
  const int threads = num_threads();
  for (const int first : {0, 3, 16, 31}) {
    set_num_threads(first % 2 == 0 ? 3 : 1);
    const int64_t last = std::min(37, first + 17);
    for (const int64_t batch : {16, 37}) {
      const InferencePlan other = compile(*net.module, images(1), {.batch = batch});
      EXPECT_EQ(bits(other.run(x.slice(0, first, last).clone())), bits(y.slice(0, first, last)))
          << first << " in batches of " << batch;
    }
  }
  set_num_threads(threads);
}

TEST_P(GatedLanes, KeepTheNaNsOfAnImageToItself) {
  const SavedModel net = settled();
  Tensor x = images(20).value().to(Layout::Nchw).clone();
  const InferencePlan plan = compile(*net.module, images(20));
  const std::vector<uint32_t> expected = bits(plan.run(x));
  const int64_t size = x.numel() / 20;
  std::fill_n(x.data<float>() + 3 * size, size, std::nanf(""));
  const Tensor y = plan.run(x);
  const std::vector<uint32_t> got = bits(y);
  for (int64_t i = 0; i < y.numel(); ++i) {
    if (i / y.size(1) == 3) {
      EXPECT_TRUE(std::isnan(y.data<float>()[i])) << i;
    } else {
      EXPECT_EQ(got[static_cast<size_t>(i)], expected[static_cast<size_t>(i)]) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Networks,
                         GatedLanes,
                         ::testing::Combine(::testing::Values("channels"),
                                            ::testing::Values("resnet20 of full width", "vgg11")));

/// 1x1 to 16 channels that are copies of the one input, a gated 3x3 to 32 that keeps 16: the first
/// ones of bright samples (1.6 s + 0.1 is more than 0.5), the last ones of dark ones; a gated 3x3
/// to 16.
struct BrightAndDarkNetwork {
  explicit BrightAndDarkNetwork(int64_t side) : plane(side) {
    model.add(Conv2d({.in_channels = 1, .out_channels = 16, .kernel = 1, .bias = false}));
    model.add(Conv2d({.in_channels = 16, .out_channels = 32, .padding = 1}));
    model.add(BatchNorm2d({.channels = 32}));
    model.add(Conv2d({.in_channels = 32, .out_channels = 16, .padding = 1}));
    model.add(BatchNorm2d({.channels = 16}));
    model.named_parameters()[0].parameter->value.value().fill_(1.0);
    bool first = true;
    for (const GateSite& site : gate_sites(model, Variable(samples({1.0F})))) {
      const auto gate = add_saliency_gate(site);
      if (!first) continue;
      first = false;
      for (int64_t k = 0; k < 32; ++k) {
        gate->bias.value.value().data<float>()[k] = k < 16 ? 0.1F : 0.5F;
        for (int64_t c = 0; c < 16; ++c) {
          gate->weight.value.value().data<float>()[k * 16 + c] = k < 16 ? 0.1F : 0.0F;
        }
      }
      gate->keep(16);
    }
  }

  /// Samples of one value each.
  Tensor samples(const std::vector<float>& values) const {
    Tensor x = Tensor::empty({static_cast<int64_t>(values.size()), 1, plane, plane});
    for (size_t n = 0; n < values.size(); ++n) {
      std::fill_n(
          x.data<float>() + static_cast<int64_t>(n) * plane * plane, plane * plane, values[n]);
    }
    return x;
  }

  /// Executed for all of `values`.
  int64_t macs(const std::vector<float>& values) {
    const InferencePlan plan = compile(model, Variable(samples(values)));
    const MacCounter counter;
    plan.run(samples(values));
    return counter.macs();
  }

  /// Of a sample whose block needs `middle` channels between the gated layers.
  int64_t macs_of(int64_t middle) const {
    const int64_t positions = plane * plane;
    return 16 * positions + 9 * positions * 16 * middle + 32 * 16 + 9 * positions * middle * 16 +
           16 * 32;
  }

  int64_t plane;
  Sequential model;
};

class BrightAndDark : public ::testing::Test {
 protected:
  Tensor samples(const std::vector<float>& values) const { return net_.samples(values); }
  int64_t macs(const std::vector<float>& values) { return net_.macs(values); }
  int64_t macs_of(int64_t middle) const { return net_.macs_of(middle); }

  BrightAndDarkNetwork net_{8};
};

TEST_F(BrightAndDark, SamplesThatAgreeComputeOnlyWhatTheyChose) {
  EXPECT_EQ(macs(std::vector<float>(20, kBright)), 20 * macs_of(16));
  EXPECT_EQ(macs(std::vector<float>(16, kDark)), 16 * macs_of(16));
}

TEST_F(BrightAndDark, OneThatDiffersCostsItsBlock) {
  std::vector<float> values(36, kDark);
  values[17] = kBright;
  EXPECT_EQ(macs(values), 20 * macs_of(16) + 16 * macs_of(32));
}

TEST_F(BrightAndDark, ResultsAreTheModules) {
  std::vector<float> values(23, kDark);
  values[4] = values[5] = values[22] = kBright;
  const Tensor x = samples(values);
  expect_near(compile(net_.model, Variable(x)).run(x),
              logits(net_.model, Variable(x)).to_vector<double>(),
              1e-4);  // 288 terms below 1, rounded: 16 2^-24 of their sum
}

// Planes of four by four: four blocks share their lists, the fifth has its own.
TEST(GatedLanesOfSmallPlanes, TakeTheChoicesOfFourBlocksTogether) {
  BrightAndDarkNetwork net(4);
  std::vector<float> values(80, kDark);
  values[17] = kBright;
  EXPECT_EQ(net.macs(values), 16 * net.macs_of(16) + 64 * net.macs_of(32));
  const Tensor x = net.samples(values);
  expect_near(compile(net.model, Variable(x)).run(x),
              logits(net.model, Variable(x)).to_vector<double>(),
              1e-4);
}

TEST_F(BrightAndDark, NothingToReadAndNothingToCompute) {
  const Tensor zeros =
      samples(std::vector<float>(20, 0.0F));  // the first gated layer reads nothing
  const InferencePlan plan = compile(net_.model, Variable(zeros));
  expect_near(plan.run(zeros), logits(net_.model, Variable(zeros)).to_vector<double>(), 1e-5);
  for (const PlacedGate& one : placed_gates(net_.model)) {  // all saliencies are 0
    auto* gate = dynamic_cast<Saliency*>(one.decision);
    gate->weight.value.value().fill_(0.0);
    gate->bias.value.value().fill_(-1.0);
  }
  const InferencePlan closed = compile(net_.model, Variable(zeros));
  const MacCounter counter;
  const Tensor y = closed.run(samples({1, 2, 3, 4, 5}));
  EXPECT_EQ(y.to_vector<float>(), std::vector<float>(static_cast<size_t>(y.numel()), 0.0F));
  EXPECT_EQ(counter.macs(), 5 * (16 * 64 + 32 * 16 + 16 * 32));
}

TEST_F(BrightAndDark, WhatKeepsFewChannelsRunsOneByOne) {
  const auto plan = [&] {
    return compile(net_.model, Variable(samples(std::vector<float>(32, 1.0F))));
  };
  EXPECT_NE(plan().describe().find("others beside it chose"), std::string::npos);
  for (const PlacedGate& one : placed_gates(net_.model))
    dynamic_cast<Saliency*>(one.decision)->keep(1);
  EXPECT_NE(plan().describe().find("each chooses for itself"), std::string::npos);
}

}  // namespace
}  // namespace espalier::nn
