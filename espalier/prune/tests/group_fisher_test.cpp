// SPDX-License-Identifier: Apache-2.0
/// Group Fisher: the card's coupled members, PyTorch's scores (oracles/group_fisher.py), and the
/// traps.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/scores/fisher.h>
#include <espalier/prune/scores/reader_gates.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/tests/calibration.h>
#include <espalier/prune/tests/net.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::Net;

constexpr double kExactly = 1e-7;  // of float32 inputs
constexpr double kOracle = 1e-10;  // of float64

std::shared_ptr<nn::Linear> linear(int64_t in, int64_t out, const std::vector<float>& weight) {
  const auto layer =
      std::make_shared<nn::Linear>(nn::Linear::Options{.in = in, .out = out, .bias = false});
  layer->weight.value.value().copy_(Tensor::from<float>({out, in}, weight));
  return layer;
}

/// One channel that two layers read with weights 1 and -1; the loss is the mean of their sum.
std::unique_ptr<Net> cancelling() {
  return std::make_unique<Net>(
      Net::Parts{{"a", linear(1, 1, {1})}, {"b", linear(1, 1, {1})}, {"c", linear(1, 1, {-1})}},
      [](Net& net, const Variable& x) {
        const Variable h = net["a"](x);
        return net["b"](h) + net["c"](h);
      });
}

PruneInputs mean_of_outputs(const std::vector<float>& x) {
  PruneInputs inputs;
  const auto samples = static_cast<int64_t>(x.size());
  inputs.batch = [x, samples](int64_t) {
    return data::Batch{Tensor::from<float>({samples, 1}, x), Tensor::zeros({samples}, DType::I64)};
  };
  inputs.loss = [samples](const Variable& out, const Tensor&) {
    return sum(out) * (1.0 / static_cast<double>(samples));
  };
  inputs.input_shape = {1};
  return inputs;
}

std::vector<Site> sites_of(nn::Module& net, const Shape& sample) {
  std::vector<std::string> notes;
  return channel_sites(net, channel_groups(net, sample), prunable_weights(net), false, notes);
}

std::vector<double> information(nn::Module& net,
                                const PruneInputs& inputs,
                                const std::vector<Site>& sites) {
  Rng rng(1);
  const auto weights = prunable_weights(net);
  const ScoreContext context{net, weights, inputs, rng};
  const std::vector<Tensor> gates =
      reader_gates(context, inputs.batch(0), ScoringMode::Train, sites);
  return fisher_information({&gates.at(0), 1});
}

TEST(ReaderGates, CoupledMembersAreSummedBeforeTheSquare) {
  // Trap: members g1 = (.3, -.2) and g2 = -g1 give 0 together, and .13 + .13 each for itself.
  const auto net = cancelling();
  const PruneInputs inputs = mean_of_outputs({0.3F, -0.2F});
  std::vector<Site> sites = sites_of(*net, {1});
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_NEAR(information(*net, inputs, sites).at(0), 0.0, kExactly);
  double apart = 0.0;
  for (const char* reader : {"b.weight", "c.weight"}) {
    std::vector<Site> alone = sites;
    std::erase_if(alone[0].parts, [&](const SitePart& part) {
      return part.role == SliceRole::Consumer && part.name != reader;
    });
    apart += information(*net, inputs, alone).at(0) * 2.0 * 2.0;  // sum of squares
  }
  EXPECT_NEAR(apart, 0.26, kExactly);
}

TEST(ReaderGates, DoNotDependOnTheSizeOfTheBatch) {
  // Trap: rows of a batch's mean loss carry 1/N.
  const auto net =
      std::make_unique<Net>(Net::Parts{{"a", linear(1, 1, {1})}, {"b", linear(1, 1, {2})}},
                            [](Net& own, const Variable& x) { return own["b"](own["a"](x)); });
  const std::vector<Site> sites = sites_of(*net, {1});
  const double two = information(*net, mean_of_outputs({0.3F, -0.2F}), sites).at(0);
  const double four = information(*net, mean_of_outputs({0.3F, -0.2F, 0.3F, -0.2F}), sites).at(0);
  EXPECT_NEAR(two, 4 * (0.09 + 0.04) / (2 * 2), kExactly);
  EXPECT_NEAR(four, two, kExactly);
}

TEST(ReaderGates, ChannelsOfAConcatenationAreReadAtTheirOffset) {
  // h = (x, 2x, 3x) of two layers, read with 5, 7, 11: dL/dm = c h. Trap: a reader of the second
  // layer's channel that looks at the first columns finds 5, not 11.
  const auto net = std::make_unique<Net>(
      Net::Parts{
          {"a", linear(1, 2, {1, 2})}, {"b", linear(1, 1, {3})}, {"c", linear(3, 1, {5, 7, 11})}},
      [](Net& own, const Variable& x) {
        return own["c"](concat({own["a"](x), own["b"](x)}, 1));
      });
  const PruneInputs inputs = mean_of_outputs({0.5F, -1});
  const std::vector<Site> sites = sites_of(*net, {1});
  ASSERT_EQ(sites.size(), 2U);
  Rng rng(1);
  const auto weights = prunable_weights(*net);
  const std::vector<Tensor> gates =
      reader_gates({*net, weights, inputs, rng}, inputs.batch(0), ScoringMode::Train, sites);
  for (size_t s = 0; s < 2; ++s) {
    const std::vector<double> found = fisher_information({&gates.at(s), 1});
    const std::vector<double> products =
        found.size() == 2 ? std::vector<double>{5, 14} : std::vector<double>{33};
    ASSERT_EQ(found.size(), products.size());
    for (size_t u = 0; u < found.size(); ++u) {
      EXPECT_NEAR(found[u] / (products[u] * products[u] * (0.25 + 1) / 4), 1.0, 1e-6) << s << u;
    }
  }
}

TEST(GroupFisher, MemoryIsOfAllLayersThatMakeAChannelOrWorkOnIt) {
  auto net = testing::tiny_residual_net();
  const std::vector<Site> sites = sites_of(*net, {3, 8, 8});
  PruneInputs inputs{.input_shape = {3, 8, 8}};
  Rng rng(1);
  const auto weights = prunable_weights(*net);
  const auto positions = output_positions({*net, weights, inputs, rng});
  // The sum: the first convolution and the second of each block, on 64 positions.
  EXPECT_EQ(activations_saved(sites[0], positions), std::vector<double>(8, 4 * 64.0));
  EXPECT_EQ(activations_saved(sites[1], positions), std::vector<double>(8, 64.0));
}

TEST(GroupFisher, CostsCountWhatMasksLeave) {
  auto net = testing::tiny_residual_net();
  PruneInputs inputs{.input_shape = {3, 8, 8}};
  Rng rng(1);
  const auto weights = prunable_weights(*net);
  const auto positions = output_positions({*net, weights, inputs, rng});
  const std::vector<Site> sites = sites_of(*net, {3, 8, 8});
  const double before = flops_saved(sites[0], positions)[0];
  // Half of the first block's inside: 4 of 8 filters that read a channel, 4 columns that make it.
  Tensor mask = Tensor::ones({8, 8, 3, 3}, DType::U8);
  for (int64_t i = 0; i < 4 * 72; ++i) mask.data<uint8_t>()[i] = 0;
  net->parameter("3.main.0.weight").set_mask(mask);
  EXPECT_EQ(before - flops_saved(sites[0], positions)[0], 2.0 * 64 * 4 * 9);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/group_fisher.inc>
  };
  return values;
}

std::unique_ptr<nn::Sequential> oracle_net() {
  const auto conv = [](int64_t in, int64_t out, int64_t groups = 1) {
    return nn::Conv2d({.in_channels = in,
                       .out_channels = out,
                       .kernel = 3,
                       .padding = 1,
                       .groups = groups,
                       .bias = false});
  };
  auto net = std::make_unique<nn::Sequential>();
  net->add(conv(2, 4));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  net->add(conv(4, 4, 4));
  net->add(nn::BatchNorm2d({.channels = 4}));
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

TEST(GroupFisher, ScoresInTrainingModeUnlessTold) {
  // Trap: running statistics, which a network that is pruned while it trains has not caught up
  // with.
  const auto net = oracle_net();
  const PruneInputs inputs{.batch =
                               [](int64_t) {
                                 return data::Batch{
                                     Tensor::from({6, 2, 4, 4}, oracle().at("images 0")),
                                     Tensor::from({6}, oracle().at("labels 0")).to(DType::I64)};
                               },
                           .input_shape = {2, 4, 4}};
  const std::vector<Site> sites = sites_of(*net, {2, 4, 4});
  const auto weights = prunable_weights(*net);
  const auto scores = [&](testing::Options given) {
    given.insert({{"sparsity", "0.5"}, {"batches", "1"}, {"cost", "none"}});
    const MethodChoice choice =
        choose_method(method("group-fisher"), parse_settings(method("group-fisher"), given));
    Rng rng(1);
    return last_update_of(choice.timeline())
        ->score->score_units({*net, weights, inputs, rng}, sites);
  };
  EXPECT_EQ(scores({}), scores({{"scoring-mode", "train"}}));
  EXPECT_NE(scores({}), scores({{"scoring-mode", "eval"}}));
}

TEST(GroupFisherOracle, ScoresAreThoseOfPyTorch) {
  const auto net = oracle_net();
  const PruneInputs inputs{
      .batch =
          [](int64_t index) {
            const int64_t n = index % 2 == 0 ? 6 : 4;
            return data::Batch{
                Tensor::from({n, 2, 4, 4}, oracle().at(cat("images ", index % 2))),
                Tensor::from({n}, oracle().at(cat("labels ", index % 2))).to(DType::I64)};
          },
      .input_shape = {2, 4, 4}};
  const auto weights = prunable_weights(*net);
  const std::vector<Site> sites = sites_of(*net, {2, 4, 4});
  ASSERT_EQ(sites.size(), 2U);
  Rng rng(1);
  const auto scores =
      fisher_score({.cost = FisherCost::None, .batches = 2, .gates = FisherGates::Readers})
          ->score_units({*net, weights, inputs, rng}, sites);
  const auto single = oracle_net();  // positions are counted on float32
  single->to(DType::F32);
  const auto positions = output_positions({*single, prunable_weights(*single), inputs, rng});
  for (size_t s = 0; s < 2; ++s) {
    const std::vector<double> saved = activations_saved(sites[s], positions);
    const std::vector<double>& right = oracle().at(cat("fisher ", s));
    ASSERT_EQ(scores[s].size(), right.size());
    for (size_t u = 0; u < right.size(); ++u) {
      EXPECT_NEAR(scores[s][u] / right[u], 1.0, kOracle) << s << " " << u;
      const double rank = fisher_rank(scores[s][u], saved[u], {.cost = FisherCost::Memory});
      EXPECT_NEAR(rank / oracle().at(cat("over memory ", s))[u], 1.0, kOracle) << s << " " << u;
    }
  }
}

}  // namespace
}  // namespace espalier::prune
