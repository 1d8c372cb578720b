// SPDX-License-Identifier: Apache-2.0
/// SNIP from orthogonal weights: the card's example, PyTorch's repair (oracles/orthogonal_snip.py),
/// the invariants, and the traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/curvature/gram.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/repair/repair.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::linear_chain;
using testing::mask_of;
using testing::Options;
using testing::prune_now;

constexpr double kOracle = 1e-9;

/// ||W W' - 1||_F of a weight as (outputs, rest).
double gap_of(const nn::Parameter& weight) {
  Tensor w = as_double(weight.value.value());
  const int64_t rows = w.size(0);
  const Tensor matrix = Tensor::from({rows, w.numel() / rows}, w.to_vector<double>());
  const Tensor gram = matrix_product(matrix, matrix.transpose(0, 1));
  double squares = 0.0;
  for (int64_t i = 0; i < gram.numel(); ++i) {
    const double x = gram.data<double>()[i] - (i % (rows + 1) == 0 ? 1.0 : 0.0);
    squares += x * x;
  }
  return std::sqrt(squares);
}

/// Repairs the only weight of a network under its mask.
Tensor repaired(const Shape& shape,
                const std::vector<float>& values,
                const std::vector<uint8_t>& stays,
                const IsometryOptions& options) {
  auto net = linear_chain({{shape, values}});
  net->to(DType::F64);
  const PruneSettings settings;
  const PruneInputs inputs;
  const std::shared_ptr<const Pattern> pattern = make_pattern("unstructured");
  std::vector<std::string> notes;
  const std::vector<Site> sites = weight_sites(prunable_weights(*net), pattern, notes);
  const std::vector<std::vector<uint8_t>> kept = {stays};
  isometry_repair(options)->refit(
      {*net, nullptr, *pattern, inputs, settings, Sparsity(0.0), &notes}, sites, kept);
  return net->parameter("0.weight").value.value();
}

TEST(Isometry, OneStepIsThatOfTheHandWorkedExample) {
  const Tensor w = repaired({2, 2}, {2, 0, 0, 0.5F}, {1, 1, 1, 1}, {.steps = 1, .rate = 0.1});
  expect_near(w, {1.6119430, 0, 0, 0.5242536}, 1e-7);
}

TEST(Isometry, LeavesWhatIsThereAlone) {
  // Trap: the gradient of a norm that is not squared is 0/0 there.
  const Tensor w = repaired({2, 2}, {0, 1, -1, 0}, {1, 1, 1, 1}, {});
  EXPECT_EQ(w.to_vector<double>(), (std::vector<double>{0, 1, -1, 0}));
}

TEST(Isometry, MovesWhatStaysAlone) {
  const Tensor w = repaired({2, 2}, {2, 0.5F, 0.25F, 3}, {1, 0, 0, 1}, {.steps = 50});
  EXPECT_EQ(w.data<double>()[1], 0.0);
  EXPECT_EQ(w.data<double>()[2], 0.0);
  EXPECT_NEAR(w.data<double>()[0], 1.0, 0.21);
  EXPECT_NEAR(w.data<double>()[3], 1.0, 0.21);
}

TEST(Isometry, ComesDownAtEveryStepOfASmallRate) {
  const std::vector<float> values = {2, 0.5F, 0.25F, 3, -1, 0.5F, 0.75F, 0.25F, -1, 1, 0.5F, 0.25F};
  const std::vector<uint8_t> stays = {1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1};
  double last = 1e9;
  for (int64_t steps = 1; steps < 60; steps += 4) {
    nn::Parameter weight(repaired({3, 4}, values, stays, {.steps = steps, .rate = 0.01}));
    const double gap = gap_of(weight);
    EXPECT_LT(gap, last) << steps;
    last = gap;
  }
}

TEST(Isometry, ComesDownToTheFloorOfMoreOutputsThanInputs) {
  // Of 4 outputs and 2 inputs W W' has rank 2: R is sqrt(2) at best.
  nn::Parameter weight(repaired(
      {4, 2}, {2, 0.5F, 0.25F, 3, -1, 0.5F, 0.75F, 0.25F}, std::vector<uint8_t>(8, 1), {}));
  EXPECT_GE(gap_of(weight), std::sqrt(2.0) - 1e-9);
  EXPECT_LT(gap_of(weight), std::sqrt(2.0) + 0.03);
}

std::unique_ptr<nn::Sequential> square_net() {
  auto net = std::make_unique<nn::Sequential>();
  for (int layer = 0; layer < 3; ++layer) net->add(nn::Linear({.in = 8, .out = 8}));
  testing::randomize(*net, 3);
  for (const char* name : {"0.bias", "1.bias", "2.bias"})
    net->parameter(name).value.value().fill_(1);
  return net;
}

PruneInputs random_batches(int64_t batches, std::vector<int64_t>* asked = nullptr) {
  return {.batch =
              [asked](int64_t index) {
                if (asked != nullptr) asked->push_back(index);
                Rng rng = Rng(2, "batch").fork(static_cast<uint64_t>(index));
                Tensor x = Tensor::empty({4, 8});
                fill_normal_(x, rng, 0.0, 1.0);
                return data::Batch{x, Tensor::from<int64_t>({4}, {0, 1, 2, 3})};
              },
          .batches = batches,
          .input_shape = {8},  // or a batch is looked at for it
          .seed = 6};
}

TEST(OrthogonalSnip, AllSingularValuesOfASquareLinearNetworkAreOneAtFirst) {
  auto net = square_net();
  prune_now("orthogonal-snip", {{"sparsity", "0"}, {"repair-steps", "0"}}, *net, random_batches(2));
  Tensor jacobian;
  for (const char* name : {"0.weight", "1.weight", "2.weight"}) {
    const Tensor w = as_double(net->parameter(name).value.value());
    jacobian = jacobian.defined() ? matrix_product(w, jacobian) : w;
  }
  EXPECT_LT(gap_of(nn::Parameter(jacobian)), 1e-5);
  EXPECT_EQ(net->parameter("1.bias").value.value().to_vector<double>(), std::vector<double>(8, 0));
}

TEST(OrthogonalSnip, TheRepairBringsLayersNearerToIsometryAndLeavesMasksAlone) {
  const auto run = [](const std::string& steps) {
    auto net = square_net();
    prune_now(
        "orthogonal-snip", {{"sparsity", "0.6"}, {"repair-steps", steps}}, *net, random_batches(2));
    return net;
  };
  auto without = run("0");
  auto with = run("10000");
  for (const char* name : {"0.weight", "1.weight", "2.weight"}) {
    EXPECT_LT(gap_of(with->parameter(name)), 0.8 * gap_of(without->parameter(name))) << name;
    EXPECT_EQ(mask_of(with->parameter(name)), mask_of(without->parameter(name))) << name;
  }
}

TEST(OrthogonalSnip, ScoresOnAllBatchesEachOnce) {
  // Trap: SNIP itself looks at one.
  std::vector<int64_t> asked;
  auto net = square_net();
  prune_now("orthogonal-snip", {{"sparsity", "0.5"}}, *net, random_batches(5, &asked));
  EXPECT_EQ(asked, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  auto other = square_net();
  EXPECT_THROW(prune_now("orthogonal-snip", {{"sparsity", "0.5"}}, *other, random_batches(0)),
               ValueError);
}

TEST(OrthogonalSnip, MakesTheSameWeightsFromTheSameSeed) {
  const auto weights = [](uint64_t seed) {
    auto net = square_net();
    PruneInputs inputs = random_batches(2);
    inputs.seed = seed;
    prune_now("orthogonal-snip", {{"sparsity", "0.5"}}, *net, inputs);
    return net->parameter("1.weight").value.value().to_vector<float>();
  };
  EXPECT_EQ(weights(6), weights(6));
  EXPECT_NE(weights(6), weights(7));
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/orthogonal_snip.inc>
  };
  return values;
}

TEST(OrthogonalSnipOracle, WeightsAfterFortyStepsAreThoseOfPyTorch) {
  nn::Sequential net;
  net.add(
      nn::Conv2d({.in_channels = 2, .out_channels = 5, .kernel = 3, .padding = 1, .bias = false}));
  net.add(nn::ReLU());
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 45, .out = 4, .bias = false}));
  net.to(DType::F64);
  for (const nn::NamedParameter& one : prunable_weights(net)) {
    one.parameter->value.value().copy_(Tensor::from(one.parameter->shape(), oracle().at(one.name)));
  }
  const PruneInputs inputs{
      .batch =
          [](int64_t index) {
            const std::vector<double>& labels = oracle().at(cat("labels ", index));
            return data::Batch{
                Tensor::from({3, 2, 3, 3}, oracle().at(cat("x ", index))),
                Tensor::from({3}, std::vector<int64_t>(labels.begin(), labels.end()))};
          },
      .batches = 3};
  prune_now("orthogonal-snip",
            {{"sparsity", "0.6"}, {"start", "present"}, {"repair-steps", "40"}},
            net,
            inputs);
  for (const nn::NamedParameter& one : prunable_weights(net)) {
    expect_near(one.parameter->value.value(), oracle().at("repaired " + one.name), kOracle);
    EXPECT_NEAR(gap_of(*one.parameter), oracle().at("norms " + one.name)[1], kOracle);
  }
}

}  // namespace
}  // namespace espalier::prune
