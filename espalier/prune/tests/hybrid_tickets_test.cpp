// SPDX-License-Identifier: Apache-2.0
/// Hybrid tickets: the card's numbers, a whole ticket beside PyTorch (oracles/hybrid_tickets.py),
/// and the traps.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::mask_of;
using testing::Options;

constexpr double kFloatTraining = 2e-6;  // of twelve steps in float32

std::unique_ptr<Pruner> hybrid(const Options& options) {
  return make_pruner("hybrid-tickets", parse_settings(method("hybrid-tickets"), options));
}

/// Three convolutions of 100 weights, which a linear layer of 10 follows.
std::unique_ptr<nn::Sequential> card_net() {
  auto net = std::make_unique<nn::Sequential>();
  for (int layer = 0; layer < 3; ++layer) {
    net->add(nn::Conv2d({.in_channels = 10, .out_channels = 10, .kernel = 1, .bias = false}));
  }
  net->add(nn::Linear({.in = 10, .out = 1, .bias = false}));
  testing::randomize(*net, 4);
  return net;
}

TEST(HybridTickets, KeepsTheLargestWeightsOfSmartRatios) {
  // raw = 20, 12, 6 of L = 4; 31 stay, 3 of them of the linear layer.
  auto net = card_net();
  std::map<std::string, std::vector<float>> before;
  for (const nn::NamedParameter& one : net->named_parameters()) {
    before[one.name] = one.parameter->value.value().to_vector<float>();
  }
  hybrid({})->prune(*net, nullptr, Sparsity(0.9));
  const std::vector<int64_t> expected = {15, 9, 4, 3};  // 14.7, 8.8, 4.4, 3
  for (size_t layer = 0; layer < expected.size(); ++layer) {
    const std::string name = cat(layer, ".weight");
    const std::vector<int> mask = mask_of(net->parameter(name));
    EXPECT_EQ(std::ranges::count(mask, 1), expected[layer]) << name;
    float least = 1e9F;
    float most = 0.0F;
    for (size_t i = 0; i < mask.size(); ++i) {
      const float size = std::abs(before.at(name)[i]);
      if (mask[i] == 1) least = std::min(least, size);
      if (mask[i] == 0) most = std::max(most, size);
    }
    EXPECT_LT(most, least) << name;
  }
}

TEST(HybridTickets, ThePlainRuleThatEmptiesALayerIsReported) {
  // Trap: 20, 3, 2/3 give 23, 3, 0.8 (floored: 0).
  auto net = card_net();
  hybrid({{"ratio-rule", "plain"}})->prune(*net, nullptr, Sparsity(0.9));
  EXPECT_EQ(net->parameter("2.weight").nnz(), 1);
  auto other = card_net();
  try {
    hybrid({{"ratio-rule", "plain"}, {"linear-density", "0.1"}})
        ->prune(*other, nullptr, Sparsity(0.98));
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("2.weight"), std::string::npos) << error.what();
  }
}

TEST(HybridTickets, AWeightThatBecomesZeroTrainsOn) {
  // Trap: masks that are read off the weights at every step would freeze it.
  auto net = card_net();
  hybrid({})->prune(*net, nullptr, Sparsity(0.9));
  nn::Parameter& weight = net->parameter("0.weight");
  const std::vector<int> mask = mask_of(weight);
  const auto kept = static_cast<size_t>(std::ranges::find(mask, 1) - mask.begin());
  weight.value.value().data<float>()[kept] = 0.0F;
  weight.apply_mask();
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  for (const nn::NamedParameter& one : net->named_parameters()) {
    one.parameter->value.set_grad(Variable(Tensor::ones(one.parameter->shape())));
  }
  sgd.step();
  EXPECT_FLOAT_EQ(weight.value.value().data<float>()[kept], -0.1F);
  EXPECT_EQ(mask_of(weight), mask);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/hybrid_tickets.inc>
  };
  return values;
}

/// The oracle's eight images.
class OracleImages : public data::Dataset {
 public:
  std::string name() const override { return "oracle"; }
  int64_t size() const override { return 8; }
  data::ImageShape image_shape() const override { return {1, 3, 3}; }
  const std::vector<std::string>& class_names() const override { return names_; }
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    for (size_t i = 0; i < pixels.size(); ++i) {
      pixels[i] = static_cast<uint8_t>(
          oracle().at("pixels")[static_cast<size_t>(index) * pixels.size() + i]);
    }
  }
  int64_t label(int64_t index) const override {
    return static_cast<int64_t>(oracle().at("labels")[static_cast<size_t>(index)]);
  }
  std::vector<float> mean() const override { return {0.0F}; }
  std::vector<float> stddev() const override { return {64.0F / 255.0F}; }

 private:
  std::vector<std::string> names_ = {"a", "b", "c"};
};

TEST(HybridTicketsOracle, TheTicketIsThatOfPyTorch) {
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 1, .out_channels = 4, .kernel = 2, .bias = false}));
  net.add(nn::ReLU());
  net.add(nn::Conv2d({.in_channels = 4, .out_channels = 4, .kernel = 2, .bias = false}));
  net.add(nn::ReLU());
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 4, .out = 3, .bias = false}));
  for (const nn::NamedParameter& one : prunable_weights(net)) {
    one.parameter->value.value().copy_(
        Tensor::from(one.parameter->shape(), oracle().at(one.name)).to(DType::F32));
  }
  auto hook = hybrid({{"sparsity", "0.6"}});
  nn::Sgd sgd(net, {.lr = 0.1, .momentum = 0.9}, 1e-3);
  data::Loader loader(std::make_shared<OracleImages>(),
                      {.batch_size = 8, .shuffle = false, .workers = 0});
  nn::fit(net, sgd, nn::MultiStepLr(0.1, {3}, 0.2), loader, {hook.get()}, {.epochs = 6});
  for (const nn::NamedParameter& one : prunable_weights(net)) {
    const std::vector<double>& mask = oracle().at("mask " + one.name);
    EXPECT_EQ(mask_of(*one.parameter), std::vector<int>(mask.begin(), mask.end())) << one.name;
    expect_near(one.parameter->value.value(), oracle().at("ticket " + one.name), kFloatTraining);
  }
}

}  // namespace
}  // namespace espalier::prune
