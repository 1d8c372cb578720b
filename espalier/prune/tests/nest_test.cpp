// SPDX-License-Identifier: Apache-2.0
/// NeST: the card's numbers, PyTorch's training and bridging gradient (oracles/nest.py), and the
/// traps.
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/curvature/bridging.h>
#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using testing::after_the_first_mask;
using testing::expect_near;
using testing::kExact;
using testing::linear_chain;
using testing::mask_of;
using testing::Options;
using testing::tiny_loader;
using testing::tiny_mlp;

TEST(Nest, GrowsTheCardsConnectionAndTheLossFalls) {
  // u = w x, x = (1, 2), w = (1, -), target 3, L = (u - 3)^2 / 2 = 2: G = (-2, -4).
  const auto net = linear_chain({{{1, 2}, {1, 0}}});
  net->to(DType::F64);
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 2}, {1, 0}));
  weight.grad_request = sparse::GradRequest::Dense;
  const Variable x(Tensor::from<double>({1, 2}, {1, 2}));
  const auto loss = [&] {
    const Variable miss = (*net)(x) + -3.0;
    return sum(miss * miss) * 0.5;
  };
  loss().backward();
  expect_near(weight.value.grad().value(), {-2, -4}, kExact);
  // With a second place that has no gradient, the one with -4 is taken.
  const auto growth = gradient_growth();
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  const PruneInputs inputs;
  Rng rng(1);
  expect_near(growth->compute({*net, weights, inputs, rng})[0], {2, 4}, kExact);
  const auto update = mask_update({.score = magnitude_score(),
                                   .allocation = living_allocation(),
                                   .growth = gradient_growth(),
                                   .growth_allocation = uniform_allocation()});
  const PruneSettings settings;
  const auto pattern = make_pattern("unstructured");
  const Moment moment{.sparsity = Sparsity(0.0)};
  update->update({*net, nullptr, pattern, settings, inputs}, {&moment, 1}, {});
  EXPECT_EQ(weight.nnz(), 2);
  // One step at a rate of 0.1 for the new one alone: 0.4, and (1.8 - 3)^2 / 2.
  weight.value.value().copy_(Tensor::from<double>({1, 2}, {1, 0.1 * 4}));
  EXPECT_NEAR(loss().value().item(), 0.72, kExact);
}

/// A chain N > H > M without ReLU, in float64, of whose hidden layer the neuron 1 is dead.
struct Chain {
  Chain(int64_t n, int64_t h, int64_t m, uint64_t seed) {
    net = linear_chain({{{h, n}, std::vector<float>(static_cast<size_t>(h * n))},
                        {{m, h}, std::vector<float>(static_cast<size_t>(m * h))}});
    testing::randomize(*net, seed);
    net->to(DType::F64);
    Tensor in = Tensor::ones({h, n}, DType::U8);
    for (int64_t i = 0; i < n; ++i) in.data<uint8_t>()[n + i] = 0;
    net->parameter("0.weight").set_mask(in);
    const Tensor x = testing::random_matrix(8, n, seed);
    Tensor y = Tensor::zeros({8}, DType::I64);
    for (int64_t i = 0; i < 8; ++i) y.data<int64_t>()[i] = (i + static_cast<int64_t>(seed)) % m;
    inputs = {.input_shape = {n}, .seed = seed};
    inputs.batch = [x, y](int64_t) { return data::Batch{x, y}; };
  }
  double loss() const {
    const data::Batch batch = inputs.batch(0);
    return cross_entropy((*net)(Variable(batch.images)), batch.labels).value().item();
  }
  UpdateReport grow(const NeuronOptions& options) {
    const PruneSettings settings;
    const auto pattern = make_pattern("unstructured");
    const Moment moment{.sparsity = Sparsity(0.5)};
    return grow_neurons(options)->update(
        {*net, nullptr, pattern, settings, inputs}, {&moment, 1}, {});
  }

  std::unique_ptr<nn::Sequential> net;
  PruneInputs inputs;
};

TEST(GrowNeurons, ATinyBridgeMakesTheLossFallAsItsGradientSays) {
  // Trap: with the sign that the paper prints, sgn(B) on the input's side, it would rise.
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Chain chain(6, 4, 3, seed);
    const auto layers = neuron_layers(*chain.net, {6});
    ASSERT_EQ(layers.size(), 1U);
    const Tensor bridge =
        bridging_gradients(*chain.net, layers, chain.inputs, chain.inputs.batch(0))[0];
    const double before = chain.loss();
    chain.grow({.fraction = 1e-9, .birth_strength = 1e-3});
    const Tensor in = chain.net->parameter("0.weight").value.value();
    const Tensor out = chain.net->parameter("1.weight").value.value();
    double expected = 0.0;
    double largest = 0.0;
    double taken = 0.0;
    int64_t edges = 0;
    for (int64_t m = 0; m < 3; ++m) {
      for (int64_t n = 0; n < 6; ++n) {
        const double product = in.at({1, n}) * out.at({m, 1});
        expected += product * bridge.at({m, n});
        edges += product != 0.0 ? 1 : 0;
        largest = std::max(largest, std::abs(bridge.at({m, n})));
        if (product != 0.0) taken = bridge.at({m, n});
      }
    }
    EXPECT_EQ(edges, 1);
    EXPECT_EQ(std::abs(taken), largest);
    EXPECT_LT(expected, 0.0);
    EXPECT_LT(chain.loss(), before) << seed;
    EXPECT_NEAR((chain.loss() - before) / expected, 1.0, 1e-2) << seed;
  }
}

TEST(GrowNeurons, ANewNeuronHasTheAskedSizeAndNothingElseChanges) {
  Chain chain(6, 4, 3, 7);
  const Tensor in_before = chain.net->parameter("0.weight").value.value().clone();
  const Tensor out_before = chain.net->parameter("1.weight").value.value().clone();
  const UpdateReport report = chain.grow({.fraction = 0.5, .birth_strength = 0.3});  // 9 of 18
  const nn::Parameter& in = chain.net->parameter("0.weight");
  const nn::Parameter& out = chain.net->parameter("1.weight");
  double sum = 0.0;
  double born = 0.0;
  int64_t edges = 0;
  for (int64_t i = 0; i < 24; ++i) {
    const double now = in.value.value().data<double>()[i];
    if (i / 6 == 1) {
      born += std::abs(now);
      edges += mask_of(in)[static_cast<size_t>(i)];
    } else {
      EXPECT_EQ(now, in_before.data<double>()[i]);
      sum += std::abs(now);
    }
  }
  EXPECT_GE(edges, 3);
  EXPECT_NEAR(born / static_cast<double>(edges), 0.3 * sum / 18.0, kExact);
  EXPECT_EQ(in.nnz(), 18 + edges);
  EXPECT_EQ(report.layers.at(0).kept, in.nnz());
  EXPECT_EQ(report.layers.at(0).changed, edges);
  // Trap: connections that the dead neuron still had led nowhere, and are new ones now.
  double living = 0.0;
  double fresh = 0.0;
  int64_t readers = 0;
  for (int64_t m = 0; m < 3; ++m) {
    for (int64_t h = 0; h < 4; ++h) {
      const double now = out.value.value().at({m, h});
      if (h == 1) {
        readers += mask_of(out)[static_cast<size_t>(4 * m + h)];
        fresh += std::abs(now);
      } else {
        EXPECT_EQ(now, out_before.at({m, h}));
      }
      living += std::abs(out_before.at({m, h}));
    }
  }
  EXPECT_NEAR(fresh / static_cast<double>(readers), 0.3 * living / 12.0, kExact);
}

TEST(GrowNeurons, NobodyGrowsWhereAllLive) {
  Chain chain(6, 4, 3, 7);
  chain.net->parameter("0.weight").set_mask({});
  testing::randomize(*chain.net, 3);
  const double before = chain.loss();
  const UpdateReport report = chain.grow({});
  EXPECT_EQ(report.layers.at(0).changed + report.layers.at(1).changed, 0);
  EXPECT_EQ(chain.loss(), before);
}

TEST(GrowNeurons, ItsBiasStartsAtZeroAndConvolutionsAreLeftOut) {
  auto net = tiny_mlp();
  const auto layers = neuron_layers(*net, {3, 8, 8});
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[0].in, "1.weight");
  EXPECT_EQ(layers[0].out, "3.weight");
  EXPECT_EQ(layers[0].bias, "1.bias");
  EXPECT_EQ(layers[0].neurons, 24);
  EXPECT_TRUE(neuron_layers(*testing::tiny_conv_net(), {3, 8, 8}).empty());
  Tensor mask = Tensor::ones({12, 24}, DType::U8);
  for (int64_t m = 0; m < 12; ++m) mask.data<uint8_t>()[24 * m + 5] = 0;
  net->parameter("3.weight").set_mask(mask);
  net->parameter("1.bias").value.value().fill_(1.0);
  auto loader = tiny_loader();
  PruneInputs inputs{.input_shape = {3, 8, 8}, .seed = 3};
  inputs.batch = batches_like(*loader);
  const PruneSettings settings;
  const auto pattern = make_pattern("unstructured");
  const Moment moment{.sparsity = Sparsity(0.5)};
  grow_neurons({})->update({*net, nullptr, pattern, settings, inputs}, {&moment, 1}, {});
  const auto bias = net->parameter("1.bias").value.value().to_vector<float>();
  for (size_t h = 0; h < 24; ++h) EXPECT_EQ(bias[h], h == 5 ? 0.0F : 1.0F);
  EXPECT_NE(grow_neurons({})->refusal(*make_pattern("4x1")), "");
}

TEST(SpanningScore, LeavesNoNeuronInUseWithoutInOrOut) {
  // Trap: at random, 40 of 288 weights would leave out some of 24 inputs or 12 outputs.
  auto net = tiny_mlp();
  const PruneInputs inputs{.input_shape = {3, 8, 8}};
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  Rng rng(3);
  const auto rows_and_columns = [&](double neurons, size_t weight, int64_t kept) {
    const Tensor score = spanning_score(neurons)->compute({*net, weights, inputs, rng})[weight];
    const std::vector<uint8_t> mask = top_k(score.to_vector<double>(), {}, kept);
    const int64_t columns = score.size(1);
    std::set<int64_t> in;
    std::set<int64_t> out;
    for (size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] == 0) continue;
      out.insert(static_cast<int64_t>(i) / columns);
      in.insert(static_cast<int64_t>(i) % columns);
    }
    return std::pair(out.size(), in.size());
  };
  EXPECT_EQ(rows_and_columns(1.0, 1, 36), (std::pair<size_t, size_t>(12, 24)));
  // A quarter of the neurons: 6 of 24 and 3 of 12; the network's inputs and outputs all count.
  EXPECT_EQ(rows_and_columns(0.25, 1, 18), (std::pair<size_t, size_t>(3, 6)));
  EXPECT_EQ(rows_and_columns(0.25, 0, 250).first, 6U);
  EXPECT_EQ(rows_and_columns(0.25, 0, 250).second, 192U);
  EXPECT_EQ(rows_and_columns(0.25, 2, 9), (std::pair<size_t, size_t>(3, 3)));
}

TEST(Nest, GrowsFromASeedInWaysOfBothKindsAndIsPruned) {
  const auto net = tiny_mlp();
  nn::Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9});
  auto loader = tiny_loader();
  const auto pruner =
      make_pruner("nest",
                  parse_settings(method("nest"),
                                 {{"sparsity", "0.75"}, {"rounds", "2"}, {"seed-neurons", "0.25"}}),
                  {.seed = 5});
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {pruner.get()}, {.epochs = 5});
  const std::vector<UpdateReport>& updates = pruner->updates();
  // The seed; twice neurons and connections; twice pruning. 4932 weights.
  ASSERT_EQ(updates.size(), 7U);
  const auto share = [&](size_t u) {
    return static_cast<double>(updates[u].kept()) / static_cast<double>(updates[u].total());
  };
  EXPECT_NEAR(share(0), 0.125, 1e-3);
  EXPECT_GT(updates[1].layers.at(1).changed, 0);
  EXPECT_GT(updates[3].layers.at(0).changed, 0);
  EXPECT_NEAR(share(2), 0.3125, 1e-3);
  EXPECT_NEAR(share(4), 0.5, 1e-3);
  EXPECT_NEAR(share(5), 0.375, 1e-3);
  EXPECT_NEAR(share(6), 0.25, 1e-3);
  EXPECT_TRUE(method("nest").facts().revives);
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/nest.inc>
  };
  return values;
}

TEST(NestOracle, TheBridgingGradientIsPyTorchs) {
  testing::SmallTraining training(oracle());
  PruneInputs inputs;
  const auto layers = neuron_layers(training.net, {6});
  ASSERT_EQ(layers.size(), 1U);
  const Tensor bridge = bridging_gradients(training.net, layers, inputs, training.batch(0)).at(0);
  expect_near(bridge, oracle().at("bridge"), 1e-14);
}

TEST(NestOracle, MasksAndWeightsFollowPyTorch) {
  testing::SmallTraining training(oracle());
  const Options given = {{"sparsity", "0.6"},
                         {"rounds", "3"},
                         {"bridges", "0"},
                         {"grow-until", "0.5"},
                         {"prune-until", "0.875"}};
  PruneInputs inputs{.input_shape = {6}};
  inputs.batch = [&](int64_t) { return training.batch(0); };
  EXPECT_EQ(training.run(after_the_first_mask("nest", given), inputs, Sparsity(0.6)), 6 + 10);
}

}  // namespace
}  // namespace espalier::prune
