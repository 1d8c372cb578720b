// SPDX-License-Identifier: Apache-2.0
/// FORCE and iterative SNIP: the card's example, PyTorch's scores and masks of three rounds
/// (oracles/force.py), and the traps.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/scores/gradients.h>
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

/// L = (w-a)'H(w-a)/2 with H = [[3,2,0],[2,3,1],[0,1,3]] = x'x, a = (0,1,0).
PruneInputs quadratic() {
  const Tensor x =
      Tensor::from<float>({6, 3}, {1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1});
  const Tensor of_a = Tensor::from<float>({6, 1}, {1, 1, 0, 1, 0, 0});
  return {.batch =
              [x](int64_t) {
                return data::Batch{x, Tensor::zeros({6}, DType::I64)};
              },
          .loss =
              [of_a](const Variable& y, const Tensor&) {
                const Variable d = sub(y, Variable(of_a));
                return mul(sum(mul(d, d)), 0.5);
              },
          .seed = 1};
}

/// The weights (-1, 2, -1) that are left of a third.
std::vector<float> left_of(const std::string& name, Options options) {
  options["sparsity"] = "0.6667";
  const auto net = linear_chain({{{1, 3}, {-1, 2, -1}}});
  prune_now(name, options, *net, quadratic());
  return net->parameter("0.weight").value.value().to_vector<float>();
}

TEST(Force, MatchesTheHandWorkedExample) {
  EXPECT_EQ(left_of("snip", {}), (std::vector<float>{0, 0, -1}));
  // After the first round 1 and 3 are there, and |w g| = (5, 12, 4) with the dense w.
  EXPECT_EQ(left_of("force", {{"rounds", "2"}, {"variant", "iterative-snip"}}),
            (std::vector<float>{-1, 0, 0}));
  // What comes back has the value that it had.
  EXPECT_EQ(left_of("force", {{"rounds", "2"}}), (std::vector<float>{0, 2, 0}));
}

TEST(Force, InOneRoundIsSnip) {
  const auto masks = [](const std::string& name, Options options) {
    options["sparsity"] = "0.7";
    auto net = testing::tiny_mlp();
    const auto loader = testing::tiny_loader();
    prune_now(name, options, *net, {.batch = batches_like(*loader), .input_shape = {3, 8, 8}});
    return mask_of(net->parameter("1.weight"));
  };
  const std::vector<int> of_snip = masks("snip", {});
  EXPECT_EQ(masks("force", {{"rounds", "1"}}), of_snip);
  EXPECT_EQ(masks("force", {{"rounds", "1"}, {"variant", "iterative-snip"}}), of_snip);
  EXPECT_NE(masks("force", {{"rounds", "3"}}), of_snip);
}

TEST(Force, RoundsShrinkWhatStaysByTheSameFactor) {
  const auto kept = [](const std::string& pace) {
    const PruneSettings settings = parse_settings(
        method("force"), {{"sparsity", "0.99"}, {"rounds", "2"}, {"rounds-pace", pace}});
    std::vector<int64_t> numbers;
    for (const Moment& moment : choose_method(method("force"), settings)
                                    .timeline()
                                    .events.at(0)
                                    .moments->moments({.steps = 10}, Sparsity(0.99))) {
      EXPECT_EQ(moment.step, 0);
      numbers.push_back(kept_count(1000, moment.sparsity));
    }
    return numbers;
  };
  EXPECT_EQ(kept("exponential"), (std::vector<int64_t>{100, 10}));
  EXPECT_EQ(kept("linear"), (std::vector<int64_t>{505, 10}));
}

TEST(Force, EveryRoundHasNewBatches) {
  // Trap: a loader that starts anew gives its first batch again and again.
  std::vector<int64_t> asked;
  PruneInputs inputs = quadratic();
  inputs.input_shape = {3};  // or a batch is looked at for it
  inputs.batch = [&asked, batch = inputs.batch](int64_t index) {
    asked.push_back(index);
    return batch(index);
  };
  auto net = linear_chain({{{1, 3}, {-1, 2, -1}}});
  prune_now("force", {{"sparsity", "0.5"}, {"rounds", "3"}, {"batches", "2"}}, *net, inputs);
  EXPECT_EQ(asked, (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Force, AveragesGradientsBeforeTheAbsoluteValue) {
  // dL/dw is (1,1) in one batch, (-1,0.5) in the other.
  const PruneInputs inputs{
      .batch =
          [](int64_t index) {
            const std::vector<float> x =
                index % 2 == 0 ? std::vector<float>{1, 1} : std::vector<float>{-1, 0.5F};
            return data::Batch{Tensor::from({1, 2}, x), Tensor::zeros({1}, DType::I64)};
          },
      .loss = [](const Variable& y, const Tensor&) { return sum(y); }};
  for (const char* variant : {"force", "iterative-snip"}) {
    auto net = linear_chain({{{1, 2}, {5, 1}}});
    prune_now("force",
              {{"sparsity", "0.5"}, {"rounds", "1"}, {"batches", "2"}, {"variant", variant}},
              *net,
              inputs);
    EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{0, 1})) << variant;
  }
}

TEST(Force, KeepsExactlySoManyOfEqualScores) {
  // Trap: a threshold keeps all that are equal to it.
  const PruneInputs inputs{
      .batch =
          [](int64_t) {
            return data::Batch{Tensor::ones({1, 8}), Tensor::zeros({1}, DType::I64)};
          },
      .loss = [](const Variable& y, const Tensor&) { return sum(y); }};
  for (const char* variant : {"force", "iterative-snip"}) {
    auto net = linear_chain({{{1, 8}, std::vector<float>(8, 0.5F)}});
    prune_now("force", {{"sparsity", "0.75"}, {"rounds", "4"}, {"variant", variant}}, *net, inputs);
    EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 1, 0, 0, 0, 0, 0, 0}));
  }
}

TEST(Force, WantsADenseNetworkWhereWeightsMayReturn) {
  auto net = linear_chain({{{1, 3}, {-1, 2, -1}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 3}, {1, 1, 0}));
  EXPECT_THROW(prune_now("force", {{"sparsity", "0.5"}}, *net, quadratic()), ValueError);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/force.inc>
  };
  return values;
}

std::unique_ptr<nn::Sequential> oracle_net() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Linear({.in = 6, .out = 7, .bias = false}));
  net->add(nn::ReLU());
  net->add(nn::Linear({.in = 7, .out = 5, .bias = false}));
  net->add(nn::ReLU());
  net->add(nn::Linear({.in = 5, .out = 3, .bias = false}));
  net->to(DType::F64);
  for (const nn::NamedParameter& one : prunable_weights(*net)) {
    one.parameter->value.value().copy_(Tensor::from(one.parameter->shape(), oracle().at(one.name)));
  }
  return net;
}

PruneInputs oracle_inputs() {
  return {.batch = [](int64_t index) {
    const std::vector<double>& labels = oracle().at(cat("labels ", index));
    return data::Batch{Tensor::from({8, 6}, oracle().at(cat("x ", index))),
                       Tensor::from({8}, std::vector<int64_t>(labels.begin(), labels.end()))};
  }};
}

TEST(ForceOracle, ScoresOfEveryRoundAreThoseOfPyTorch) {
  const PruneInputs inputs = oracle_inputs();
  for (const std::string variant : {"force", "iterative-snip"}) {
    MasksByName masks;
    for (int64_t round = 0; round < 3; ++round) {
      const auto net = oracle_net();
      const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
      const bool dense = variant == "force";
      for (const nn::NamedParameter& one : weights) {
        if (!dense && round > 0) one.parameter->set_mask(masks.at(one.name));
      }
      Rng rng(1);
      const std::vector<Tensor> scores =
          snip_score(ScoringMode::Eval)
              ->compute({*net,
                         weights,
                         inputs,
                         rng,
                         nullptr,
                         nullptr,
                         {.number = round, .masks = dense && round > 0 ? &masks : nullptr}});
      double sum = 0.0;
      for (const nn::NamedParameter& one : weights) {
        for (double s : oracle().at(cat(variant, " ", round, " score ", one.name))) sum += s;
      }
      for (size_t w = 0; w < weights.size(); ++w) {
        const std::string& name = weights[w].name;
        std::vector<double> expected = oracle().at(cat(variant, " ", round, " score ", name));
        for (double& s : expected) s /= sum;
        expect_near(scores[w], expected, kOracle);
        const std::vector<double>& mask = oracle().at(cat(variant, " ", round, " mask ", name));
        masks[name] = Tensor::from(weights[w].parameter->shape(),
                                   std::vector<uint8_t>(mask.begin(), mask.end()));
      }
    }
  }
}

TEST(ForceOracle, MasksAreThoseOfPyTorch) {
  for (const std::string variant : {"force", "iterative-snip"}) {
    const auto net = oracle_net();
    prune_now("force",
              {{"sparsity", "0.8"}, {"rounds", "3"}, {"variant", variant}},
              *net,
              oracle_inputs());
    for (const nn::NamedParameter& one : prunable_weights(*net)) {
      const std::vector<double>& mask = oracle().at(cat(variant, " 2 mask ", one.name));
      EXPECT_EQ(mask_of(*one.parameter), std::vector<int>(mask.begin(), mask.end())) << one.name;
    }
  }
}

}  // namespace
}  // namespace espalier::prune
