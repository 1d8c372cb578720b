// SPDX-License-Identifier: Apache-2.0
/// Scores from gradients against numbers worked out by hand, and that scoring leaves no trace.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;

constexpr double kScoreTolerance = 1e-6;

PruneInputs half_square_of(const std::vector<float>& x) {
  return {.batch =
              [x](int64_t) {
                return data::Batch{Tensor::from(Shape{1, static_cast<int64_t>(x.size())}, x),
                                   Tensor::zeros({1}, DType::I64)};
              },
          .loss = [](const Variable& y,
                     const Tensor&) { return mul(sum(mul(y, y)), Variable(Tensor::scalar(0.5))); }};
}

TEST(Snip, MatchesTheHandWorkedExample) {
  // y = w.x = -1, dL/dw = y x = (-1, -3), |w g| = (2, 3).
  auto net = linear_chain({{{1, 2}, {2, -1}}});
  const PruneInputs inputs = half_square_of({1, 3});
  const PruneSettings settings = parse_settings(method("snip"), {{"sparsity", "0.5"}});
  const auto scores = raw_scores("snip", *net, settings, inputs).at("0.weight").to_vector<double>();
  EXPECT_NEAR(scores[0], 0.4, kScoreTolerance);
  EXPECT_NEAR(scores[1], 0.6, kScoreTolerance);

  auto pruner = make_pruner("snip", settings, inputs);
  pruner->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 1}));
}

TEST(Snip, TakesTheAbsoluteValueAfterTheSumOverTheBatch) {
  // w = (2,-1); x = (1,3): y = -1, y x = (-1,-3); x = (2,1): y = 3, y x = (6,3). Their sum is
  // (5,0); absolutes of each sample would give (14, 6) / 20.
  auto net = linear_chain({{{1, 2}, {2, -1}}});
  PruneInputs inputs = half_square_of({1, 3});
  inputs.batch = [](int64_t) {
    return data::Batch{Tensor::from<float>({2, 2}, {1, 3, 2, 1}), Tensor::zeros({2}, DType::I64)};
  };
  const auto scores = raw_scores("snip", *net, parse_settings(method("snip"), {}), inputs);
  EXPECT_NEAR(scores.at("0.weight").at({0, 0}), 1.0, kScoreTolerance);
  EXPECT_NEAR(scores.at("0.weight").at({0, 1}), 0.0, kScoreTolerance);
}

TEST(Snip, BothWeightsOfAChainHaveOneScore) {
  auto net = linear_chain({{{1, 1}, {3}}, {{1, 1}, {-0.25F}}});
  const auto scores =
      raw_scores("snip", *net, parse_settings(method("snip"), {}), half_square_of({2}));
  EXPECT_NEAR(scores.at("0.weight").item(), 0.5, kScoreTolerance);
  EXPECT_NEAR(scores.at("1.weight").item(), 0.5, kScoreTolerance);
}

TEST(Snip, NeedsData) {
  auto net = linear_chain({{{1, 2}, {2, -1}}});
  EXPECT_THROW(raw_scores("snip", *net, parse_settings(method("snip"), {}), {}), ValueError);
}

TEST(Snip, UsesRunningStatisticsUnlessAskedForThoseOfTheBatch) {
  // Trap: the same network scored in another mode of batch norm has another mask.
  auto loader = tiny_loader();
  const PruneInputs inputs{.batch = batches_like(*loader)};
  const auto scores_of = [&](const std::string& mode) {
    auto net = tiny_conv_net();
    std::map<std::string, std::string> given;
    if (!mode.empty()) given["scoring-mode"] = mode;
    return raw_scores("snip", *net, parse_settings(method("snip"), given), inputs)
        .at("3.weight")
        .to_vector<double>();
  };
  auto net = tiny_conv_net();
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  Rng rng(1);
  for (const ScoringMode mode : {ScoringMode::Eval, ScoringMode::Train}) {
    const auto gradients = dense_gradients({*net, weights, inputs, rng}, inputs.batch(0), mode);
    std::vector<double> expected;
    double sum = 0.0;
    for (size_t w = 0; w < weights.size(); ++w) {
      const auto value = weights[w].parameter->value.value().to_vector<double>();
      const auto gradient = gradients[w].to_vector<double>();
      for (size_t i = 0; i < value.size(); ++i) {
        const double s = std::abs(value[i] * gradient[i]);
        sum += s;
        if (weights[w].name == "3.weight") expected.push_back(s);
      }
    }
    const auto scores = scores_of(mode == ScoringMode::Train ? "train" : "");
    ASSERT_EQ(scores.size(), expected.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      ASSERT_NEAR(scores[i], expected[i] / sum, 1e-6 * expected[i] / sum + 1e-12) << i;
    }
  }
  EXPECT_NE(scores_of("eval"), scores_of("train"));
}

TEST(DenseGradients, SignedSumOfWeightTimesGradientIsTheSameForEveryLayer) {
  // ReLU networks without bias are homogeneous in every layer's weights.
  nn::Sequential net;
  net.add(nn::Linear({.in = 6, .out = 9, .bias = false}));
  net.add(nn::ReLU());
  net.add(nn::Linear({.in = 9, .out = 7, .bias = false}));
  net.add(nn::ReLU());
  net.add(nn::Linear({.in = 7, .out = 4, .bias = false}));
  testing::randomize(net, 8);
  const PruneInputs inputs = half_square_of({1, -2, 0.5F, 3, -1, 2});
  const std::vector<nn::NamedParameter> weights = prunable_weights(net);
  Rng rng(1);
  const ScoreContext context{net, weights, inputs, rng};
  const auto gradients = dense_gradients(context, inputs.batch(0), ScoringMode::Eval);
  std::vector<double> sums;
  for (size_t w = 0; w < weights.size(); ++w) {
    const auto value = weights[w].parameter->value.value().to_vector<double>();
    const auto gradient = gradients[w].to_vector<double>();
    double sum = 0.0;
    for (size_t i = 0; i < value.size(); ++i) sum += value[i] * gradient[i];
    sums.push_back(sum);
  }
  EXPECT_GT(std::abs(sums[0]), 1e-4);
  EXPECT_NEAR(sums[1] / sums[0], 1.0, 1e-4);
  EXPECT_NEAR(sums[2] / sums[0], 1.0, 1e-4);
}

TEST(DenseGradients, AreThereAtRemovedPositions) {
  auto net = linear_chain({{{1, 2}, {2, -1}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 2}, {1, 0}));
  const PruneInputs inputs = half_square_of({1, 3});
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  Rng rng(1);
  // y = 2, dL/dw = y x.
  const auto gradients =
      dense_gradients({*net, weights, inputs, rng}, inputs.batch(0), ScoringMode::Eval);
  EXPECT_NEAR(gradients[0].at({0, 0}), 2.0, kScoreTolerance);
  EXPECT_NEAR(gradients[0].at({0, 1}), 6.0, kScoreTolerance);
}

TEST(DenseGradients, LeaveNoTraceInTheModel) {
  for (ScoringMode mode : {ScoringMode::Eval, ScoringMode::Train}) {
    auto net = tiny_conv_net();
    auto loader = tiny_loader();
    const PruneInputs inputs{.batch = batches_like(*loader)};
    std::map<std::string, std::vector<double>> before;
    for (const auto& [name, tensor] : net->state_dict()) before[name] = tensor.to_vector<double>();
    const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
    Rng rng(1);
    dense_gradients({*net, weights, inputs, rng}, inputs.batch(0), mode);
    for (const auto& [name, tensor] : net->state_dict()) {
      EXPECT_EQ(before.at(name), tensor.to_vector<double>()) << name;
    }
    EXPECT_FALSE(net->parameter("0.weight").value.grad().defined());
    EXPECT_EQ(net->parameter("0.weight").grad_request, sparse::GradRequest::Masked);
    EXPECT_TRUE(net->training());
  }
}

TEST(DenseGradients, DependOnWhatBatchNormUses) {
  auto net = tiny_conv_net();
  auto loader = tiny_loader();
  const PruneInputs inputs{.batch = batches_like(*loader)};
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  Rng rng(1);
  const ScoreContext context{*net, weights, inputs, rng};
  const auto eval = dense_gradients(context, inputs.batch(0), ScoringMode::Eval);
  const auto train = dense_gradients(context, inputs.batch(0), ScoringMode::Train);
  EXPECT_NE(eval[0].to_vector<double>(), train[0].to_vector<double>());
}

TEST(ScoringBatches, ArePureFunctionsOfTheIndex) {
  auto loader = tiny_loader();
  const auto batch = batches_like(*loader);
  const auto first = batch(1).images.to_vector<float>();
  batch(6);
  EXPECT_EQ(batch(1).images.to_vector<float>(), first);
  EXPECT_NE(batch(0).images.to_vector<float>(), first);
}

}  // namespace
}  // namespace espalier::prune
