// SPDX-License-Identifier: Apache-2.0
/// DCP: the card's example, PyTorch's loss, choices and weights (oracles/dcp.py), and the traps.
#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/core/tests/temporary_folder.h>
#include <espalier/prune/curvature/joint_loss.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::inputs_of;
using testing::mask_of;
using testing::Options;
using testing::prune_now;

constexpr double kFloat = 1e-4;     // of float32 networks after some steps
constexpr double kGradient = 1e-5;  // of float32 gradients

/// conv 1x1 2>2 that copies its inputs, conv 1x1 2>1 that adds them.
std::unique_ptr<nn::Sequential> adder() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false}));
  net->add(nn::Conv2d({.in_channels = 2, .out_channels = 1, .kernel = 1, .bias = false}));
  net->parameter("0.weight").value.value().copy_(Tensor::from<float>({2, 2, 1, 1}, {1, 0, 0, 1}));
  net->parameter("1.weight").value.value().copy_(Tensor::ones({1, 2, 1, 1}));
  return net;
}

/// One sample of one pixel.
PruneInputs pixel(const std::vector<float>& channels) {
  PruneInputs inputs =
      inputs_of(Tensor::from<float>({1, static_cast<int64_t>(channels.size()), 1, 1}, channels));
  inputs.input_shape = {static_cast<int64_t>(channels.size()), 1, 1};
  return inputs;
}

const Options kFeaturesAlone = {{"sparsity", "0.5"}, {"lambda", "0"}, {"batches", "1"}};

TEST(JointLoss, IsTheCardsAtZeroWeights) {
  // x = (2, 1), O' = 3, L = (O - 3)^2 / 2: at W = 0 the loss is 4.5, its gradient -3 x.
  const auto net = adder();
  const auto original = net->clone();
  const PruneInputs inputs = pixel({2, 1});
  std::vector<std::string> notes;
  JointLoss loss(*net, *original, prunable_weights(*net), inputs, 1, {.lambda = 0.0}, notes);
  nn::Parameter& reader = net->parameter("1.weight");
  loss.turn_to({"1.weight", &reader});
  reader.value.value().fill_(0.0);
  const JointLoss::Slope slope = loss.slope();
  EXPECT_DOUBLE_EQ(slope.loss, 4.5);
  EXPECT_EQ(slope.gradient.to_vector<double>(), (std::vector<double>{-6, -3}));
}

TEST(Dcp, TakesInTheChannelOfTheLargerGradientAndTrainsIt) {
  const auto net = adder();
  prune_now("dcp", kFeaturesAlone, *net, pixel({2, 1}));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), (std::vector<int>{1, 1, 0, 0}));
  // From its original weight, 1, one step of Nesterov's: O = 2 and dL/dw = -2, decay 1e-4.
  expect_near(net->parameter("1.weight").value.value(), {1 + 0.01 * 1.9 * (2 - 1e-4), 0}, 1e-6);
}

TEST(Dcp, SeesWhatThePrunedLayersBeforeGive) {
  // Trap: of the original inputs, (3, 1), channel 0 of the second layer would be the larger one.
  // Its filter reads the first layer's channel 1, which is gone.
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false}));
  net.add(nn::Conv2d({.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false}));
  net.add(nn::Conv2d({.in_channels = 2, .out_channels = 1, .kernel = 1, .bias = false}));
  net.parameter("0.weight").value.value().copy_(Tensor::from<float>({2, 2, 1, 1}, {1, 0, 0, 1}));
  net.parameter("1.weight").value.value().copy_(Tensor::from<float>({2, 2, 1, 1}, {0, 3, 0.5, 0}));
  net.parameter("2.weight").value.value().copy_(Tensor::ones({1, 2, 1, 1}));
  // dL/dW of the second layer at 0 is -(O' x) / 2: O' = (3, 1) and x = (2, 1).
  prune_now("dcp", kFeaturesAlone, net, pixel({2, 1}));
  EXPECT_EQ(mask_of(net.parameter("0.weight")), (std::vector<int>{1, 1, 0, 0}));
  EXPECT_EQ(mask_of(net.parameter("1.weight")), (std::vector<int>{0, 0, 1, 0}));
}

TEST(Dcp, ScoresASliceByItsNormOverAllFilters) {
  // Two filters of which one wants channel 0 by 3 and the other channel 1 by 2 each: sums of
  // absolute values would say 3 and 4, the norms are 3 and 2.83.
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false}));
  net.add(nn::Conv2d({.in_channels = 2, .out_channels = 2, .kernel = 1, .bias = false}));
  net.parameter("0.weight").value.value().copy_(Tensor::from<float>({2, 2, 1, 1}, {1, 0, 0, 1}));
  net.parameter("1.weight").value.value().copy_(Tensor::from<float>({2, 2, 1, 1}, {3, 2, 0, 2}));
  // Two samples, (1, 0) and (0, 1): O' = (3, 0) and (2, 2), dL/dW_0 = -(3, 0) / 4, W_1 -(2, 2) / 4.
  PruneInputs inputs = inputs_of(Tensor::from<float>({2, 2, 1, 1}, {1, 0, 0, 1}));
  inputs.input_shape = {2, 1, 1};
  prune_now("dcp", kFeaturesAlone, net, inputs);
  EXPECT_EQ(mask_of(net.parameter("0.weight")), (std::vector<int>{1, 1, 0, 0}));
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/dcp.inc>
  };
  return values;
}

void copy_in(nn::Module& net, const std::string& prefix) {
  for (const auto& [name, tensor] : net.state_dict()) {
    const std::vector<double>& value = oracle().at(prefix + name);
    Tensor(tensor).copy_(Tensor::from(tensor.shape(), value).to(DType::F32));
  }
}

std::unique_ptr<nn::Sequential> four_layers() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 6, .padding = 1, .bias = false}));
  net->add(nn::BatchNorm2d({.channels = 6}));
  net->add(nn::ReLU());
  net->add(nn::Conv2d({.in_channels = 6, .out_channels = 5, .padding = 1}));
  net->add(nn::ReLU());
  net->add(nn::Conv2d({.in_channels = 5, .out_channels = 4, .stride = 2}));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 16, .out = 3}));
  copy_in(*net, "");
  return net;
}

/// Two batches of two images, over and over.
PruneInputs two_batches() {
  const Tensor images = Tensor::from({4, 3, 5, 5}, oracle().at("images")).to(DType::F32);
  const Tensor labels = Tensor::from({4}, oracle().at("labels")).to(DType::I64);
  PruneInputs inputs{.batches = 2, .input_shape = {3, 5, 5}, .seed = 4};
  inputs.batch = [=](int64_t index) {
    const int64_t first = index % 2 * 2;
    return data::Batch{images.slice(0, first, first + 2).contiguous(),
                       labels.slice(0, first, first + 2).contiguous()};
  };
  return inputs;
}

const Options kWhole = {
    {"sparsity", "0.5"}, {"lambda", "0.5"}, {"heads", "0"}, {"batches", "2"}, {"warm-up", "3"}};

std::vector<double> living(const nn::Parameter& weight, size_t units) {
  const std::vector<int> mask = mask_of(weight);
  const size_t size = mask.size() / units;
  std::vector<double> living;
  for (size_t u = 0; u < units; ++u) {
    const auto begin = mask.begin() + static_cast<std::ptrdiff_t>(u * size);
    living.push_back(std::count(begin, begin + static_cast<std::ptrdiff_t>(size), 1) > 0 ? 1 : 0);
  }
  return living;
}

TEST(DcpOracle, TheJointLossWithAHeadIsPyTorchs) {
  const auto net = four_layers();
  const auto original = net->clone();
  const PruneInputs inputs = two_batches();
  std::vector<std::string> notes;
  JointLoss loss(*net,
                 *original,
                 prunable_weights(*net),
                 inputs,
                 2,
                 {.lambda = 0.5, .heads = 1, .warmup = 0},
                 notes);
  nn::Parameter& reader = net->parameter("3.weight");
  loss.turn_to({"3.weight", &reader});
  ASSERT_NE(loss.head(), nullptr);
  copy_in(*loss.head(), "head ");
  Tensor values = reader.value.value();
  for (int64_t i = 0; i < values.numel(); ++i) {
    if (i / 9 % 6 >= 2) values.data<float>()[i] = 0.0F;
  }
  const JointLoss::Slope slope = loss.slope();
  EXPECT_NEAR(slope.loss, oracle().at("head loss").front(), kGradient);
  expect_near(slope.gradient, oracle().at("head gradient"), kGradient);
  loss.turn_to({"5.weight", &net->parameter("5.weight")});
  EXPECT_EQ(loss.head(), nullptr);  // the last stage has the network's own end
  EXPECT_TRUE(notes.empty());
}

TEST(DcpOracle, TrainsChoosesAndTrainsAgainAsPyTorch) {
  const auto net = four_layers();
  prune_now("dcp", kWhole, *net, two_batches());
  EXPECT_EQ(living(net->parameter("0.weight"), 6), oracle().at("kept 0"));
  EXPECT_EQ(living(net->parameter("3.weight"), 5), oracle().at("kept 3"));
  EXPECT_EQ(living(net->parameter("5.weight"), 4), oracle().at("kept 5"));
  // Producers lose their filters afterwards; what is compared is what stays.
  for (const char* name : {"3.weight", "5.weight", "7.weight"}) {
    const nn::Parameter& weight = net->parameter(name);
    const std::vector<int> mask = mask_of(weight);
    const auto is = weight.value.value().to_vector<double>();
    const std::vector<double>& right = oracle().at(std::string("after ") + name);
    for (size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] == 1) {
        EXPECT_NEAR(is[i], right[i], kFloat) << name << " " << i;
      }
    }
  }
}

TEST(Dcp, KeepingAllIsTheNetworkAsTheFirstStepsMadeIt) {
  // The card: kappa = c must return the baseline up to fine-tuning.
  const auto net = four_layers();
  const auto before = net->clone();
  prune_now("dcp", {{"sparsity", "0"}, {"warm-up", "0"}}, *net, two_batches());
  const auto a = before->state_dict();
  for (const auto& [name, tensor] : net->state_dict()) {
    EXPECT_EQ(tensor.to_vector<double>(), a.at(name).to_vector<double>()) << name;
  }
}

TEST(Dcp, HeadsLeaveNothingBehindInTheNetwork) {
  // Trap: heads must be dropped at the end, and what is shrunk computes the same.
  const auto net = four_layers();
  const PruneInputs inputs = two_batches();
  std::set<std::string> names;
  for (const auto& [name, tensor] : net->state_dict()) names.insert(name);
  prune_now("dcp",
            {{"sparsity", "0.5"}, {"heads", "2"}, {"batches", "2"}, {"warm-up", "2"}},
            *net,
            inputs);
  for (const auto& [name, tensor] : net->state_dict()) {
    EXPECT_TRUE(name.ends_with(".mask") || names.contains(name)) << name;
  }
  const NoGrad no_grad;
  net->eval();
  const Variable images(inputs.batch(0).images);
  const auto masked = (*net)(images).value().to_vector<double>();
  shrink(*net, Variable(Tensor::zeros({1, 3, 5, 5})));
  EXPECT_EQ(net->parameter("3.weight").shape(), Shape({2, 3, 3, 3}));
  expect_near((*net)(images).value(), masked, kFloat);
}

TEST(Dcp, OnlyWhatIsInMoves) {
  // Trap: with momentum and decay what is out would move. And norms stay as they are: with no
  // steps at the beginning of stages, nothing but the readers' weights changes.
  const auto net = four_layers();
  const auto before = net->clone();
  Options given = kWhole;
  given["warm-up"] = "0";
  prune_now("dcp", given, *net, two_batches());
  for (const char* name : {"1.running_mean", "1.running_var"}) {
    EXPECT_EQ(net->state_dict().at(name).to_vector<double>(),
              before->state_dict().at(name).to_vector<double>());
  }
  const auto first = net->parameter("0.weight").value.value().to_vector<double>();
  const auto was = before->parameter("0.weight").value.value().to_vector<double>();
  const std::vector<int> mask = mask_of(net->parameter("0.weight"));
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i], mask[i] == 1 ? was[i] : 0.0);
}

TEST(Dcp, AStageThatBeginsTrainsNetworkAndHead) {
  // Trap: a head with its first weights tells nothing. With this lambda L is the head's loss.
  constexpr double kHead = 1e4;
  const PruneInputs inputs = two_batches();
  const auto head_loss = [&](int64_t warmup) {
    const auto net = four_layers();
    const auto original = net->clone();
    std::vector<std::string> notes;
    JointLoss loss(*net,
                   *original,
                   prunable_weights(*net),
                   inputs,
                   2,
                   {.lambda = kHead, .heads = 1, .warmup = warmup},
                   notes);
    loss.turn_to({"3.weight", &net->parameter("3.weight")});
    EXPECT_TRUE(net->training());
    const auto now = net->parameter("0.weight").value.value().to_vector<float>();
    const auto was = original->parameter("0.weight").value.value().to_vector<float>();
    EXPECT_EQ(now != was, warmup > 0);
    return loss.slope().loss / kHead;
  };
  EXPECT_LT(head_loss(60), 0.8 * head_loss(0));
}

TEST(Dcp, ALayerThatGainsNothingMoreHasEnough) {
  // Channels 1 to 3 are never seen: with channel 0 the loss is as low as it gets.
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 4, .out_channels = 4, .kernel = 1, .bias = false}));
  net.add(nn::Conv2d({.in_channels = 4, .out_channels = 1, .kernel = 1, .bias = false}));
  net.parameter("0.weight")
      .value.value()
      .copy_(Tensor::from<float>({4, 4, 1, 1}, {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}));
  net.parameter("1.weight").value.value().copy_(Tensor::ones({1, 4, 1, 1}));
  Options given = {{"sparsity", "0.25"}, {"lambda", "0"}, {"batches", "1"}};
  const auto other = net.clone();
  prune_now("dcp", given, net, pixel({2, 0, 0, 0}));
  EXPECT_EQ(living(net.parameter("0.weight"), 4), (std::vector<double>{1, 1, 1, 0}));
  given["tolerance"] = "0.01";
  prune_now("dcp", given, *other, pixel({2, 0, 0, 0}));
  EXPECT_EQ(living(other->parameter("0.weight"), 4), (std::vector<double>{1, 1, 0, 0}));
}

// Its squares are beyond float32.
TEST(Dcp, OutputsThatAreTooLargeAreToldAsSuch) {
  const auto net = adder();
  espalier::testing::expect_error<ValueError>(
      [&] {
        prune_now("dcp", kFeaturesAlone, *net, pixel({1e25F, 1e25F}));
      },
      {"has no number", "Start from trained weights"});
}

TEST(Dcp, RoundsTakeInSeveralChannelsAtATime) {
  // In one round those come in that weights of zero want most.
  const auto net = four_layers();
  const auto original = net->clone();
  const PruneInputs inputs = two_batches();
  std::vector<std::string> notes;
  JointLoss loss(*net,
                 *original,
                 prunable_weights(*net),
                 inputs,
                 2,
                 {.lambda = 0.5, .heads = 0, .warmup = 0},
                 notes);
  nn::Parameter& reader = net->parameter("3.weight");
  loss.turn_to({"3.weight", &reader});
  reader.value.value().fill_(0.0);
  const std::vector<double> gradient = loss.slope().gradient.to_vector<double>();
  std::vector<double> norms(6, 0.0);
  for (size_t i = 0; i < gradient.size(); ++i) norms[i / 9 % 6] += gradient[i] * gradient[i];
  std::vector<double> wanted;
  for (const uint8_t one : top_k(norms, {}, 3)) wanted.push_back(one);
  const auto pruned = original->clone();
  Options given = kWhole;
  given["rounds"] = "1";
  given["warm-up"] = "0";
  prune_now("dcp", given, *pruned, inputs);
  EXPECT_EQ(living(pruned->parameter("0.weight"), 6), wanted);
}

}  // namespace
}  // namespace espalier::prune
