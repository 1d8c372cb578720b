// SPDX-License-Identifier: Apache-2.0
/// GraSP: the hand-worked examples, its Hessian-vector product against differences of gradients,
/// and the traps of its implementation.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/scores/balanced_samples.h>
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

std::map<std::string, std::vector<double>> scores_of(
    nn::Module& net,
    const PruneInputs& inputs,
    const std::map<std::string, std::string>& options = {}) {
  std::map<std::string, std::vector<double>> scores;
  const auto tensors = raw_scores("grasp", net, parse_settings(method("grasp"), options), inputs);
  for (const auto& [name, tensor] : tensors) scores[name] = tensor.to_vector<double>();
  return scores;
}

/// Half of the sum of squares of y = w.x over x = (1,1) and (1,0): L = w'Aw/2, A = [[2,1],[1,1]].
PruneInputs quadratic() {
  return {.batch =
              [](int64_t) {
                return data::Batch{Tensor::from<float>({2, 2}, {1, 1, 1, 0}),
                                   Tensor::zeros({2}, DType::I64)};
              },
          .single_batch = true,
          .loss = [](const Variable& y, const Tensor&) { return mul(sum(mul(y, y)), 0.5); }};
}

TEST(Grasp, MatchesTheHandWorkedExample) {
  // g = (0,-1), Hg = (-1,-1), S = -w Hg = (1,-2). The two samples are in different halves.
  auto net = linear_chain({{{1, 2}, {1, -2}}});
  const auto scores = scores_of(*net, quadratic(), {{"loss-temperature", "1"}});
  EXPECT_NEAR(scores.at("0.weight")[0], 1.0, kScoreTolerance);
  EXPECT_NEAR(scores.at("0.weight")[1], -2.0, kScoreTolerance);
}

TEST(Grasp, RemovesTheLargestScore) {
  // Trap: copying the sign of one code and the side of another inverts the method.
  const auto mask_with = [](const char* ablation) {
    auto net = linear_chain({{{1, 2}, {1, -2}}});
    const PruneSettings settings =
        parse_settings(method("grasp"), {{"sparsity", "0.5"}, {"ablation", ablation}});
    auto pruner = make_pruner("grasp", settings, quadratic());
    pruner->prune(*net, nullptr, Sparsity(0.5));
    return mask_of(net->parameter("0.weight"));
  };
  EXPECT_EQ(mask_with("none"), (std::vector<int>{0, 1}));
  EXPECT_EQ(mask_with("invert"), (std::vector<int>{1, 0}));
}

TEST(Grasp, LogitsAreDividedByTheTemperature) {
  // Of a quadratic loss g and H both shrink by T^2; the default is 200.
  auto net = linear_chain({{{1, 2}, {1, -2}}});
  const auto softened = scores_of(*net, quadratic());
  EXPECT_NEAR(softened.at("0.weight")[0] * std::pow(200.0, 4), 1.0, kScoreTolerance);
}

/// 12 float64 images of 3x8x8 of three classes.
PruneInputs twelve_images() {
  Tensor images = Tensor::empty({12, 3, 8, 8}, DType::F64);
  Rng rng(6, "images");
  fill_normal_(images, rng, 0.0, 1.0);
  const Tensor labels = Tensor::from<int64_t>({12}, {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2});
  return {.batch =
              [images, labels](int64_t) {
                return data::Batch{images, labels};
              },
          .single_batch = true};
}

/// The gradient of both halves' losses at temperature 200, by plain differentiation.
std::vector<Tensor> gradient_of_halves(nn::Module& net, const PruneInputs& inputs) {
  PruneInputs softened = inputs;
  softened.loss = [](const Variable& logits, const Tensor& labels) {
    return cross_entropy(mul(logits, 1.0 / 200.0), labels);
  };
  const std::vector<nn::NamedParameter> weights = prunable_weights(net);
  Rng rng(1);
  const ScoreContext context{net, weights, softened, rng};
  std::vector<Tensor> sum;
  for (const data::Batch& half : halves_of(inputs.batch(0))) {
    const auto gradient = dense_gradients(context, half, ScoringMode::Train);
    if (sum.empty()) {
      sum = gradient;
      continue;
    }
    for (size_t w = 0; w < sum.size(); ++w) {
      for (int64_t i = 0; i < sum[w].numel(); ++i) {
        sum[w].data<double>()[i] += gradient[w].data<double>()[i];
      }
    }
  }
  return sum;
}

TEST(Grasp, HessianTimesGradientEqualsTheDifferenceOfGradients) {
  // Through two convolutions, batch norm in training mode, and cross-entropy.
  auto net = tiny_conv_net();
  net->to(DType::F64);
  const PruneInputs inputs = twelve_images();
  const auto scores = scores_of(*net, inputs);
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  const std::vector<Tensor> g = gradient_of_halves(*net, inputs);
  double norm = 0.0;
  for (const Tensor& one : g) {
    for (double x : one.to_vector<double>()) norm += x * x;
  }
  const double step = 1e-4 / std::sqrt(norm);
  const auto moved = [&](double t) {
    for (size_t w = 0; w < weights.size(); ++w) {
      double* x = weights[w].parameter->value.value().data<double>();
      for (int64_t i = 0; i < g[w].numel(); ++i) x[i] += t * g[w].data<double>()[i];
    }
  };
  std::vector<std::vector<double>> values;
  for (const nn::NamedParameter& one : weights) {
    values.push_back(one.parameter->value.value().to_vector<double>());
  }
  moved(step);
  const std::vector<Tensor> ahead = gradient_of_halves(*net, inputs);
  moved(-2 * step);
  const std::vector<Tensor> behind = gradient_of_halves(*net, inputs);
  for (size_t w = 0; w < weights.size(); ++w) {
    const std::vector<double>& s = scores.at(weights[w].name);
    double largest = 0.0;
    for (double one : s) largest = std::max(largest, std::abs(one));
    ASSERT_GT(largest, 0.0);
    for (size_t i = 0; i < s.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      const double difference =
          (ahead[w].data<double>()[at] - behind[w].data<double>()[at]) / (2 * step);
      ASSERT_NEAR(s[i], -values[w][i] * difference, kScoreTolerance * largest) << weights[w].name;
    }
  }
}

/// The squared norm of both halves' gradient once `count` weights with the highest or the lowest
/// scores of all are set to zero.
double gradient_after_removing(nn::Module& net,
                               const PruneInputs& inputs,
                               const std::map<std::string, std::vector<double>>& scores,
                               size_t count,
                               bool highest) {
  std::vector<double> all;
  for (const auto& [name, values] : scores) all.insert(all.end(), values.begin(), values.end());
  std::sort(all.begin(), all.end());
  const auto pruned = net.clone();
  for (const auto& [name, values] : scores) {
    double* weight = pruned->parameter(name).value.value().data<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      if (highest ? values[i] >= all[all.size() - count] : values[i] < all[count]) weight[i] = 0.0;
    }
  }
  double norm = 0.0;
  for (const Tensor& one : gradient_of_halves(*pruned, inputs)) {
    for (double x : one.to_vector<double>()) norm += x * x;
  }
  return norm;
}

TEST(Grasp, RemovingTheHighestScoresLeavesALargerGradientThanRemovingTheLowest) {
  // The card's second oracle, on a small network of random weights, in the mean of twenty.
  constexpr int kSeeds = 20;
  double difference = 0.0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    auto net = testing::tiny_mlp(static_cast<uint64_t>(100 + seed));
    net->to(DType::F64);
    const PruneInputs inputs = twelve_images();
    const auto scores = scores_of(*net, inputs);
    constexpr size_t kCount = 493;  // a tenth
    difference += std::log(gradient_after_removing(*net, inputs, scores, kCount, true) /
                           gradient_after_removing(*net, inputs, scores, kCount, false)) /
                  kSeeds;
  }
  EXPECT_GT(difference, 0.1);
}

TEST(Grasp, BatchNormUsesTheStatisticsOfTheHalfUnlessTold) {
  auto net = tiny_conv_net();
  const PruneInputs inputs = twelve_images();
  EXPECT_NE(scores_of(*net, inputs), scores_of(*net, inputs, {{"scoring-mode", "eval"}}));
}

TEST(Grasp, SinglePrecisionGivesNearlyTheSame) {
  auto net = tiny_conv_net();
  const PruneInputs inputs = twelve_images();
  const auto exact = scores_of(*net, inputs);
  const auto fast = scores_of(*net, inputs, {{"scoring-precision", "float32"}});
  for (const auto& [name, scores] : exact) {
    double largest = 0.0;
    for (double one : scores) largest = std::max(largest, std::abs(one));
    for (size_t i = 0; i < scores.size(); ++i) {
      ASSERT_NEAR(scores[i], fast.at(name)[i], 1e-3 * largest) << name;
    }
  }
}

TEST(Grasp, LeavesNoTraceInTheModelAndNeedsData) {
  auto net = tiny_conv_net();
  std::map<std::string, std::vector<double>> before;
  for (const auto& [name, tensor] : net->state_dict()) before[name] = tensor.to_vector<double>();
  scores_of(*net, twelve_images());
  for (const auto& [name, tensor] : net->state_dict()) {
    EXPECT_EQ(before.at(name), tensor.to_vector<double>()) << name;
  }
  EXPECT_TRUE(net->training());
  EXPECT_FALSE(net->parameter("0.weight").value.grad().defined());
  EXPECT_THROW(scores_of(*net, {}), ValueError);
}

TEST(StructuredScores, OfAFilterAreTheSumOfItsWeightsScores) {
  // With its sign for GraSP, where removing a weight may help or hurt.
  for (const char* name : {"grasp", "snip"}) {
    auto net = tiny_conv_net();
    const PruneInputs inputs = twelve_images();
    PruneInputs single = inputs;
    single.batch = [inputs](int64_t i) {
      const data::Batch batch = inputs.batch(i);
      return data::Batch{batch.images.to(DType::F32), batch.labels};
    };
    // In one mode: by default GraSP scores filters and weights under different statistics.
    std::map<std::string, std::string> given = {{"scoring-mode", "train"}};
    const auto weights = raw_scores(name, *net, parse_settings(method(name), given), single);
    given["pattern"] = "filter";
    const auto filters = raw_scores(name, *net, parse_settings(method(name), given), single);
    bool signs_differ = false;
    for (int64_t o = 0; o < 16; ++o) {
      double sum = 0.0;
      double of_absolutes = 0.0;
      for (int64_t i = 0; i < 8 * 9; ++i) {
        const double score = weights.at("3.weight").data<double>()[o * 72 + i];
        sum += score;
        of_absolutes += std::abs(score);
      }
      EXPECT_NEAR(filters.at("3.weight").data<double>()[o * 72], sum, 1e-12 * of_absolutes) << name;
      signs_differ = signs_differ || std::abs(sum) < 0.99 * of_absolutes;
    }
    EXPECT_EQ(signs_differ, std::string(name) == "grasp");
  }
}

ScoreContext context_of(nn::Module& net, const PruneInputs& inputs, Rng& rng) {
  return {net, {}, inputs, rng};
}

TEST(BalancedSamples, AreEquallyManyOfEveryClassInOrder) {
  auto net = tiny_conv_net();
  auto loader = tiny_loader();
  const PruneInputs inputs{.batch = batches_like(*loader)};
  Rng rng(1);
  const data::Batch batch = balanced_samples(context_of(*net, inputs, rng), 3, 7);
  std::vector<int64_t> expected(21);
  for (size_t i = 0; i < 21; ++i) expected[i] = static_cast<int64_t>(i / 7);
  EXPECT_EQ(batch.labels.to_vector<int64_t>(), expected);
  EXPECT_EQ(batch.images.shape(), (Shape{21, 3, 8, 8}));
  EXPECT_EQ(batch.images.layout(), Layout::Nchw);
  // Every image is of its class: the strongest colour is the label.
  for (int64_t i = 0; i < 21; ++i) {
    double sums[3] = {};
    for (int64_t j = 0; j < 192; ++j) sums[j / 64] += batch.images.data<float>()[i * 192 + j];
    EXPECT_EQ(std::max_element(sums, sums + 3) - sums, expected[static_cast<size_t>(i)]);
  }
}

TEST(BalancedSamples, GiveUpAClassThatDoesNotTurnUp) {
  auto net = tiny_conv_net();
  auto loader = tiny_loader();
  const PruneInputs inputs{.batch = batches_like(*loader)};
  Rng rng(1);
  EXPECT_EQ(balanced_samples(context_of(*net, inputs, rng), 4, 2).size(), 6);
  EXPECT_THROW(balanced_samples(context_of(*net, inputs, rng), 2, 2), ValueError);
}

TEST(BalancedSamples, TakeNoSampleTwiceAndSayThatThereAreFewer) {
  // 64 samples in batches of 16: 22 of label 0, 21 of each other one.
  auto net = tiny_conv_net();
  auto loader = tiny_loader();
  const PruneInputs inputs{.batch = batches_like(*loader), .batches = 4};
  Rng rng(1);
  std::vector<std::string> notes;
  const ScoreContext context{*net, {}, inputs, rng, &notes};
  EXPECT_EQ(balanced_samples(context, 3, 21).size(), 63);
  EXPECT_TRUE(notes.empty());
  EXPECT_EQ(balanced_samples(context, 3, 400).size(), 64);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("asked for 400 samples of each of 3"), std::string::npos);
  EXPECT_NE(notes[0].find("gave 64 in all"), std::string::npos);
}

TEST(BalancedSamples, OfASingleBatchAreAllOfIt) {
  auto net = tiny_conv_net();
  const PruneInputs inputs = {.batch =
                                  [](int64_t) {
                                    return data::Batch{
                                        Tensor::from<float>({5, 1}, {10, 11, 12, 13, 14}),
                                        Tensor::from<int64_t>({5}, {1, 0, 1, 1, 0})};
                                  },
                              .single_batch = true};
  Rng rng(1);
  const data::Batch batch = balanced_samples(context_of(*net, inputs, rng), 2, 1);
  EXPECT_EQ(batch.images.to_vector<int>(), (std::vector<int>{11, 14, 10, 12, 13}));
  const auto halves = halves_of(batch);
  ASSERT_EQ(halves.size(), 2U);
  EXPECT_EQ(halves[0].labels.to_vector<int>(), (std::vector<int>{0, 0}));
  EXPECT_EQ(halves[1].images.to_vector<int>(), (std::vector<int>{10, 12, 13}));
}

}  // namespace
}  // namespace espalier::prune
