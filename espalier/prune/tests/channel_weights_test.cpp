// SPDX-License-Identifier: Apache-2.0
/// Weights between channels are counted once, by hand and against masks.
#include <gtest/gtest.h>

#include <espalier/nn/layers.h>
#include <espalier/nn/models/registry.h>
#include <espalier/prune/sites/channel_weights.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

/// Three layers: 2 -> 4 -> 4 -> 3.
nn::Sequential chain() {
  nn::Sequential net;
  net.add(nn::Linear({.in = 2, .out = 4}));
  net.add(nn::Linear({.in = 4, .out = 4}));
  net.add(nn::Linear({.in = 4, .out = 3}));
  return net;
}

TEST(ChannelWeights, CountsByHand) {
  nn::Sequential net = chain();
  const auto weights = prunable_weights(net);
  std::vector<std::string> notes;
  const auto sites = channel_sites(net, channel_groups(net, {2}), weights, false, notes);
  ASSERT_EQ(sites.size(), 2u);
  ChannelWeights left(sites, weights);
  EXPECT_EQ(left.total(), 2 * 4 + 4 * 4 + 4 * 3);
  left.remove(0, 1);
  EXPECT_EQ(left.left(), 2 * 3 + 3 * 4 + 4 * 3);
  left.remove(1, 0);
  left.remove(1, 3);
  EXPECT_EQ(left.left(), 2 * 3 + 3 * 2 + 2 * 3);
}

TEST(ChannelWeights, AGlobalBudgetIsOfWeightsThatAreGone) {
  // Of 36 weights 18 may stay, and channels go one by one, the lowest first. |w| is 1 in the first
  // layer and 2 and more in the second, so the four channels of the first would go before those of
  // the second; each takes 2 + 4 of the weights: after three of them 36 - 18 = 18 are left. Adding
  // up what belongs to channels (24 and 28, of 52) would have stopped there only at 26.
  nn::Sequential net = chain();
  for (const nn::NamedParameter& p : net.named_parameters()) p.parameter->value.value().fill_(1.0);
  Tensor& second = net.parameter("1.weight").value.value();
  for (int64_t i = 0; i < 16; ++i) second.data<float>()[i] = 2.0f;
  const auto pruner = make_pruner("magnitude",
                                  parse_settings(method("magnitude"),
                                                 {{"pattern", "channel"},
                                                  {"sparsity", "0.5"},
                                                  {"allocation", "global"},
                                                  {"min-per-layer", "1"}}),
                                  {.input_shape = {2}});
  nn::Sgd sgd(net, {});
  nn::TrainState state{.model = net, .optimizer = sgd};
  pruner->before_training(state);
  EXPECT_EQ(net.parameter("0.weight").nnz(), 2 * 1);
  EXPECT_EQ(net.parameter("1.weight").nnz(), 1 * 4);
  EXPECT_EQ(net.parameter("2.weight").nnz(), 4 * 3);
  EXPECT_EQ(pruner->updates().at(0).kept(), 18);
  EXPECT_DOUBLE_EQ(pruner->updates().at(0).sparsity().value(), 0.5);
}

TEST(ChannelWeights, AgreeWithTheMasksOfANetworkWithSharedSumsAndFlattening) {
  for (const char* name : {"resnet20", "lenet5"}) {
    nn::ModelOptions options;
    options.width = 0.5;
    const bool digits = std::string(name) == "lenet5";
    if (digits) options.image = {1, 28, 28};
    auto net = nn::make_model(name, options);
    const Shape sample = digits ? Shape{1, 28, 28} : Shape{3, 32, 32};
    const auto weights = prunable_weights(*net);
    std::vector<std::string> notes;
    auto groups = channel_groups(*net, sample);
    const auto sites = channel_sites(*net, groups, weights, false, notes);
    ChannelWeights left(sites, weights);
    std::erase_if(groups, [](const ChannelGroup& g) { return !g.frozen_because.empty(); });
    ASSERT_EQ(groups.size(), sites.size());
    std::vector<std::vector<uint8_t>> keep;
    for (size_t s = 0; s < sites.size(); ++s) {
      keep.emplace_back(static_cast<size_t>(sites[s].units), uint8_t{1});
      for (int64_t u = static_cast<int64_t>(s) % 2; u + 1 < sites[s].units; u += 3) {
        keep.back()[static_cast<size_t>(u)] = 0;
        left.remove(s, u);
      }
    }
    mask_channels(*net, groups, keep);
    int64_t kept = 0;
    for (const nn::NamedParameter& weight : weights) kept += weight.parameter->nnz();
    EXPECT_LT(kept, left.total());
    EXPECT_EQ(left.left(), kept) << name;
  }
}

}  // namespace
}  // namespace espalier::prune
