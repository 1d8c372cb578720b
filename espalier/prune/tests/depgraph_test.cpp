// SPDX-License-Identifier: Apache-2.0
/// DepGraph: the card's factors and groups, PyTorch's decay and choice (oracles/depgraph.py),
/// ranking by kinds, and the traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/actions/group_decay.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/scores/group_importance.h>
#include <espalier/prune/scores/norm_scale.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/tests/net.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::kExact;
using testing::mask_of;
using testing::tiny_residual_net;

constexpr double kOracle = 1e-10;
constexpr double kMaskedIsCut = 1e-5;

std::vector<Site> sites_of(nn::Module& net, const Shape& sample) {
  std::vector<std::string> notes;
  return channel_sites(net, channel_groups(net, sample), prunable_weights(net), false, notes);
}

TEST(GroupImportance, FactorsAreThoseOfTheCard) {
  // Trap: factors by the scores before the root (1, 4, 9) would be 16, 5.66 and 1.
  const std::vector<double> roots = {1, 2, 3};
  const std::vector<uint8_t> alive = {1, 1, 1};
  EXPECT_EQ(growing_factors(roots, alive, 4.0), (std::vector<double>{16, 4, 1}));
  EXPECT_EQ(growing_factors(roots, alive, 1.0), (std::vector<double>{2, std::sqrt(2.0), 1}));
  EXPECT_EQ(growing_factors(std::vector<double>{5, 5, 5}, alive, 4.0),
            (std::vector<double>{1, 1, 1}));
  // What is gone is no smallest importance.
  EXPECT_EQ(growing_factors(std::vector<double>{0, 2, 3}, std::vector<uint8_t>{0, 1, 1}, 4.0),
            (std::vector<double>{0, 16, 1}));
}

TEST(GroupImportance, AChainIsTheMeanOverRowsScalesAndColumns) {
  // Traps: biases count as members, or a norm's scale does not.
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 1, .out_channels = 2, .kernel = 1}));
  net.add(nn::BatchNorm2d({.channels = 2}));
  net.add(nn::Conv2d({.in_channels = 2, .out_channels = 2, .kernel = 1}));
  const auto set = [&](const char* name, const std::vector<float>& values) {
    net.parameter(name).value.value().copy_(Tensor::from(net.parameter(name).shape(), values));
  };
  set("0.weight", {3, 1});
  set("0.bias", {100, 200});
  set("1.weight", {2, 4});
  set("1.bias", {300, 400});
  set("2.weight", {1, 5, 2, 6});
  const std::vector<Site> sites = sites_of(net, {1, 2, 2});
  ASSERT_EQ(sites.size(), 1U);  // the last layer's outputs are the network's
  EXPECT_EQ(members_of(sites[0], norm_scales(net)).size(), 3U);
  EXPECT_EQ(group_importance(sites[0], norm_scales(net)),
            (std::vector<double>{(9 + 4 + 1 + 4) / 3.0, (1 + 16 + 25 + 36) / 3.0}));
}

TEST(GroupImportance, BehindAConcatenationAChannelReadsItsOwnColumn) {
  // Index 5 of 4 and 6 channels is channel 1 of the second branch.
  const auto conv = [](int64_t in, int64_t out) {
    return std::make_shared<nn::Conv2d>(
        nn::Conv2d::Options{.in_channels = in, .out_channels = out, .kernel = 1, .bias = false});
  };
  testing::Net net({{"a", conv(1, 4)}, {"b", conv(1, 6)}, {"c", conv(10, 1)}},
                   [](testing::Net& own, const Variable& x) {
                     return own["c"](concat({own["a"](x), own["b"](x)}, 1));
                   });
  for (const char* name : {"a.weight", "b.weight"}) net.parameter(name).value.value().fill_(0.0);
  net.parameter("c.weight")
      .value.value()
      .copy_(Tensor::from<float>({1, 10, 1, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  const std::vector<Site> sites = sites_of(net, {1, 2, 2});
  ASSERT_EQ(sites.size(), 2U);
  EXPECT_EQ(sites[1].name, "b.weight");
  EXPECT_EQ(group_importance(sites[1], {})[1], 25.0 / 2);
}

TEST(GroupImportance, TheNormalizerDecidesBetweenGroups) {
  auto net = testing::linear_chain({{{2, 1}, {2, 2}}, {{2, 2}, {1, 0, 0, 3}}, {{1, 2}, {0, 0}}});
  const std::vector<Site> sites = sites_of(*net, {1});
  const PruneInputs inputs;
  Rng rng(1);
  const auto weights = prunable_weights(*net);
  const ScoreContext context{*net, weights, inputs, rng};
  const auto by = [&](GroupNormalizer normalizer) {
    return group_importance_score(normalizer)->score_units(context, sites);
  };
  // Importances (4 + 1, 4 + 9) / 2 and (1 + 0, 9 + 0) / 2.
  EXPECT_EQ(by(GroupNormalizer::None)[0], (std::vector<double>{2.5, 6.5}));
  EXPECT_EQ(by(GroupNormalizer::None)[1], (std::vector<double>{0.5, 4.5}));
  EXPECT_EQ(by(GroupNormalizer::Mean)[1], (std::vector<double>{0.2, 1.8}));
  EXPECT_EQ(by(GroupNormalizer::Max)[1], (std::vector<double>{0.5 / 4.5, 1.0}));
}

TEST(Isomorphic, EveryKindLosesTheSameShareWhateverItsScale) {
  const std::vector<double> small = {1, 2, 3, 4};
  const std::vector<double> other = {5, 6, 7, 8};
  const std::vector<double> large = {100, 200, 300, 400};
  const std::vector<uint8_t> alive = {1, 1, 1, 1};
  const std::vector<int64_t> weights = {1, 1, 1, 1};
  std::vector<SiteScores> layers = {{"a", {}, 4, small, alive, weights},
                                    {"b", {}, 4, large, alive, weights},
                                    {"c", {}, 4, other, alive, weights}};
  layers[0].kind = layers[2].kind = "conv";
  layers[1].kind = "fc";
  EXPECT_EQ(isomorphic_allocation()->keep(layers, Sparsity(0.5)), (std::vector<int64_t>{0, 2, 4}));
  EXPECT_EQ(global_units_allocation()->keep(layers, Sparsity(0.5)),
            (std::vector<int64_t>{0, 4, 2}));
}

TEST(Isomorphic, KindsAreStructuresNotSizes) {
  auto net = tiny_residual_net();
  const std::vector<Site> sites = sites_of(*net, {3, 8, 8});
  ASSERT_EQ(sites.size(), 4U);  // the sum, and the inside of three blocks
  EXPECT_EQ(sites[1].kind(), sites[2].kind());
  EXPECT_EQ(sites[1].kind(), sites[3].kind());
  EXPECT_NE(sites[0].kind(), sites[1].kind());
  auto narrow =
      testing::linear_chain({{{2, 1}, {1, 1}}, {{3, 2}, {1, 1, 1, 1, 1, 1}}, {{1, 3}, {1, 1, 1}}});
  const std::vector<Site> of_chain = sites_of(*narrow, {1});
  EXPECT_EQ(of_chain[0].kind(), of_chain[1].kind());
}

TEST(DepGraph, TheMaskedNetworkIsTheCutOne) {
  for (const char* allocation : {"global", "isomorphic"}) {
    auto net = tiny_residual_net();
    testing::prune_now("depgraph",
                       {{"sparsity", "0.5"}, {"prune-at", "0"}, {"allocation", allocation}},
                       *net,
                       {.input_shape = {3, 8, 8}});
    net->eval();
    Rng rng(2);
    Tensor x = Tensor::empty({2, 3, 8, 8}, DType::F32);
    fill_normal_(x, rng, 0.0, 1.0);
    const auto masked = (*net)(Variable(x)).value().to_vector<double>();
    const int64_t before = net->parameter("0.weight").numel();
    shrink(*net, Variable(x.slice(0, 0, 1).contiguous()));
    expect_near((*net)(Variable(x)).value(), masked, kMaskedIsCut);
    EXPECT_LT(net->parameter("0.weight").numel(), before) << allocation;
  }
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/depgraph.inc>
  };
  return values;
}

std::unique_ptr<nn::Sequential> oracle_net() {
  const auto conv = [](int64_t in, int64_t out) {
    return nn::Conv2d(
        {.in_channels = in, .out_channels = out, .kernel = 3, .padding = 1, .bias = false});
  };
  auto net = std::make_unique<nn::Sequential>();
  net->add(conv(2, 4));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  auto main = std::make_shared<nn::Sequential>();
  main->add(conv(4, 5));
  main->add(nn::BatchNorm2d({.channels = 5}));
  main->add(nn::ReLU());
  main->add(conv(5, 4));
  main->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::Residual({.main = main}));
  net->add(nn::AdaptiveAvgPool2d(1));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 4, .out = 3}));
  net->to(DType::F64);
  for (const nn::NamedParameter& one : net->named_parameters()) {
    one.parameter->value.value().copy_(Tensor::from(one.parameter->shape(), oracle().at(one.name)));
  }
  return net;
}

TEST(DepGraphOracle, DecayAndTwoRoundsAreThoseOfPyTorch) {
  const auto net = oracle_net();
  const Shape sample = {2, 4, 4};
  const std::vector<Site> sites = sites_of(*net, sample);
  ASSERT_EQ(sites.size(), 2U);
  for (size_t s = 0; s < 2; ++s) {
    const std::vector<double>& right = oracle().at(cat("importance ", s));
    const std::vector<double> found = group_importance(sites[s], norm_scales(*net));
    for (size_t u = 0; u < right.size(); ++u) EXPECT_NEAR(found[u], right[u], kOracle);
  }
  const auto settings = [](const std::string& sparsity, const std::string& rounds) {
    return parse_settings(
        method("depgraph"),
        {{"sparsity", sparsity}, {"rounds", rounds}, {"strength", "0.02"}, {"prune-at", "0.75"}});
  };
  const auto pruner =
      make_pruner("depgraph", settings("0.5", "2"), {.input_shape = sample, .seed = 1});
  nn::Sgd sgd(*net, {.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 4};
  const Variable images(Tensor::from({6, 2, 4, 4}, oracle().at("images")));
  const Tensor labels = Tensor::from({6}, oracle().at("labels")).to(DType::I64);
  pruner->before_training(state);
  for (; state.step < 3; ++state.step) {
    pruner->before_step(state);
    net->zero_grad();
    cross_entropy((*net)(images), labels).backward();
    pruner->after_backward(state);
    sgd.step();
  }
  for (const char* name : {"1.weight", "3.main.0.weight", "3.main.1.bias", "6.weight"}) {
    SCOPED_TRACE(name);
    expect_near(net->parameter(name).value.value(), oracle().at(cat("after ", name)), kOracle);
  }
  pruner->before_step(state);
  for (int group = 0; group < 2; ++group) {
    // A norm's scale is masked where its channel is gone.
    const std::string scale = group == 0 ? "1.weight" : "3.main.1.weight";
    const std::vector<double>& gone = oracle().at(cat("gone 0.5 ", group));
    const std::vector<int> kept = mask_of(net->parameter(scale));
    for (size_t u = 0; u < gone.size(); ++u) EXPECT_EQ(kept[u], 1 - static_cast<int>(gone[u]));
  }
}

}  // namespace
}  // namespace espalier::prune
