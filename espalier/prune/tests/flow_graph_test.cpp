// SPDX-License-Identifier: Apache-2.0
/// Paths of weights through networks: hand-made cuts, and every network of the zoo under random
/// masks against what comes out when all of its numbers are positive.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/structure/flow_graph.h>
#include <espalier/prune/tests/net.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

using testing::Net;
using Names = std::vector<std::string>;

std::shared_ptr<nn::Module> conv(int64_t in, int64_t out, int64_t groups = 1) {
  return std::make_shared<nn::Conv2d>(nn::Conv2d::Options{
      .in_channels = in, .out_channels = out, .padding = 1, .groups = groups, .bias = true});
}
std::shared_ptr<nn::Module> dense(int64_t in, int64_t out) {
  return std::make_shared<nn::Linear>(nn::Linear::Options{.in = in, .out = out});
}
std::shared_ptr<nn::Module> norm(int64_t channels) {
  return std::make_shared<nn::BatchNorm2d>(nn::BatchNorm::Options{.channels = channels});
}

/// Keeps the weights (output, input, all taps) that are listed, and no others.
void keep_only(nn::Module& net,
               const std::string& name,
               const std::vector<std::pair<int64_t, int64_t>>& links) {
  nn::Parameter& weight = net.parameter(name);
  Tensor mask = Tensor::zeros(weight.shape(), DType::U8);
  const int64_t inputs = weight.shape()[1];
  const int64_t inner = weight.numel() / weight.shape()[0] / inputs;
  for (const auto& [o, i] : links) {
    mask.data<uint8_t>()[(o * inputs + i) * inner + inner - 1] = 1;  // one tap is enough
  }
  weight.set_mask(mask);
}

Flow flow_of_image(nn::Module& net, const Shape& image) {
  return trace_flow(net, Variable(Tensor::ones(image.inserted(0, 1)))).flow();
}

Variable head(Net& net, const Variable& x) {
  return net["fc"](flatten(adaptive_avg_pool2d(x, 1, 1)));
}

TEST(FlowGraph, ADenseNetworkLosesNothing) {
  Net net({{"a", conv(3, 4)}, {"fc", dense(4, 2)}},
          [](Net& n, const Variable& x) { return head(n, relu(n["a"](x))); });
  const Flow flow = flow_of_image(net, {3, 4, 4});
  EXPECT_FALSE(flow.cut);
  EXPECT_TRUE(flow.lost_outputs.empty() && flow.ends.empty() && flow.idle.empty());
}

TEST(FlowGraph, LayersThatEachKeepSomethingMayCutTogether) {
  // a makes channel 0, b reads channel 1: no layer is empty, and nothing arrives.
  Net net({{"a", conv(1, 2)}, {"norm", norm(2)}, {"b", conv(2, 2)}, {"fc", dense(2, 3)}},
          [](Net& n, const Variable& x) { return head(n, n["b"](relu(n["norm"](n["a"](x))))); });
  keep_only(net, "a.weight", {{0, 0}});
  keep_only(net, "b.weight", {{0, 1}, {1, 1}});
  const Flow flow = flow_of_image(net, {1, 4, 4});
  EXPECT_TRUE(flow.cut);
  EXPECT_EQ(flow.lost_outputs, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(flow.ends, (Names{"b.weight"}));
  EXPECT_EQ(flow.idle, (Names{"a.weight", "b.weight", "fc.weight"}));
}

TEST(FlowGraph, EmptyLayersBehindACutAreNamedWithIt) {
  Net net({{"a", conv(1, 2)}, {"b", conv(2, 2)}, {"fc", dense(2, 3)}},
          [](Net& n, const Variable& x) { return head(n, n["b"](n["a"](x))); });
  keep_only(net, "a.weight", {});
  keep_only(net, "fc.weight", {});
  EXPECT_EQ(flow_of_image(net, {1, 4, 4}).ends, (Names{"a.weight", "fc.weight"}));
}

/// x -> stem -> (main + shortcut) -> fc
Net residual() {
  return Net(
      {{"stem", conv(1, 2)}, {"main", conv(2, 2)}, {"shortcut", conv(2, 2)}, {"fc", dense(2, 2)}},
      [](Net& n, const Variable& x) {
        const Variable y = n["stem"](x);
        const Variable main = n["main"](y);
        return head(n, relu(add(main, n["shortcut"](y))));
      });
}

TEST(FlowGraph, OneEmptyBranchOfASumIsNoCut) {
  for (const char* empty : {"main.weight", "shortcut.weight"}) {
    Net net = residual();
    keep_only(net, empty, {});
    const Flow flow = flow_of_image(net, {1, 4, 4});
    EXPECT_FALSE(flow.cut) << empty;
    EXPECT_TRUE(flow.lost_outputs.empty());
    EXPECT_EQ(flow.idle, (Names{empty}));
  }
}

TEST(FlowGraph, BothEmptyBranchesOfASumAreTheCut) {
  Net net = residual();
  keep_only(net, "main.weight", {});
  keep_only(net, "shortcut.weight", {});
  const Flow flow = flow_of_image(net, {1, 4, 4});
  EXPECT_TRUE(flow.cut);
  EXPECT_EQ(flow.ends, (Names{"main.weight", "shortcut.weight"}));
}

TEST(FlowGraph, AnEmptyBranchBeforeTheCutIsNoPartOfIt) {
  Net net = residual();
  keep_only(net, "shortcut.weight", {});
  keep_only(net, "fc.weight", {});
  EXPECT_EQ(flow_of_image(net, {1, 4, 4}).ends, (Names{"fc.weight"}));
}

TEST(FlowGraph, OneOutputCanBeLostAlone) {
  Net net({{"a", conv(1, 2)}, {"fc", dense(2, 3)}},
          [](Net& n, const Variable& x) { return head(n, n["a"](x)); });
  keep_only(net, "a.weight", {{0, 0}});
  keep_only(net, "fc.weight", {{0, 0}, {1, 1}});  // 1 reads what nothing makes, 2 reads nothing
  const Flow flow = flow_of_image(net, {1, 4, 4});
  EXPECT_FALSE(flow.cut);
  EXPECT_EQ(flow.lost_outputs, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(flow.ends, (Names{"fc.weight"}));
  EXPECT_TRUE(flow.idle.empty());
}

TEST(FlowGraph, HalvesOfAConcatenationStayApart) {
  Net net({{"a", conv(1, 2)}, {"b", conv(1, 2)}, {"fc", dense(4, 1)}},
          [](Net& n, const Variable& x) {
            return head(n, concat({n["a"](x), n["b"](x)}, 1));
          });
  keep_only(net, "a.weight", {});
  keep_only(net, "fc.weight", {{0, 0}, {0, 1}});  // reads a alone
  EXPECT_TRUE(flow_of_image(net, {1, 4, 4}).cut);
  keep_only(net, "fc.weight", {{0, 3}});
  EXPECT_FALSE(flow_of_image(net, {1, 4, 4}).cut);
}

TEST(FlowGraph, GroupsAndDepthwiseFiltersReadTheirOwnChannels) {
  Net net(
      {{"a", conv(1, 4)}, {"groups", conv(4, 4, 2)}, {"depth", conv(4, 4, 4)}, {"fc", dense(4, 1)}},
      [](Net& n, const Variable& x) { return head(n, n["depth"](n["groups"](n["a"](x)))); });
  keep_only(net, "a.weight", {{2, 0}});       // the second group's first input
  keep_only(net, "groups.weight", {{3, 0}});  // read by output 3
  keep_only(net, "depth.weight", {{3, 0}});
  EXPECT_FALSE(flow_of_image(net, {1, 4, 4}).cut);
  keep_only(net, "groups.weight", {{1, 0}});  // of the first group
  EXPECT_EQ(flow_of_image(net, {1, 4, 4}).ends, (Names{"groups.weight"}));
  keep_only(net, "groups.weight", {{3, 0}});
  keep_only(net, "depth.weight", {{2, 0}});
  EXPECT_EQ(flow_of_image(net, {1, 4, 4}).ends, (Names{"depth.weight"}));
}

TEST(FlowGraph, AFeatureOfAPlaneBelongsToItsChannel) {
  Net net({{"a", conv(1, 2)}, {"fc", dense(2 * 4, 1)}},
          [](Net& n, const Variable& x) { return n["fc"](flatten(n["a"](x))); });
  keep_only(net, "a.weight", {{1, 0}});
  keep_only(net, "fc.weight", {{0, 3}});  // the last pixel of channel 0
  EXPECT_TRUE(flow_of_image(net, {1, 2, 2}).cut);
  keep_only(net, "fc.weight", {{0, 4}});  // the first of channel 1
  EXPECT_FALSE(flow_of_image(net, {1, 2, 2}).cut);
}

TEST(FlowGraph, ALayerThatIsCalledTwiceIsIdleOnlyIfBothCallsAre) {
  Net net(
      {{"a", dense(2, 2)}, {"b", dense(2, 2)}, {"out", dense(2, 1)}},
      [](Net& n, const Variable& x) { return n["out"](n["a"](relu(n["b"](relu(n["a"](x)))))); });
  keep_only(net, "a.weight", {{1, 0}});
  keep_only(net, "b.weight", {{1, 1}});
  keep_only(net, "out.weight", {{0, 1}});
  // Forth through 0 -> 1 -> 1, and the second call of a reads 0 alone.
  EXPECT_EQ(flow_of_image(net, {2}).ends, (Names{"a.weight"}));
  keep_only(net, "b.weight", {{0, 1}});
  EXPECT_FALSE(flow_of_image(net, {2}).cut);
}

TEST(FlowGraph, RowsThatMakeOutputsAreThoseWithNothingButSumsAndNormsBehind) {
  Net net({{"a", conv(1, 2)}, {"b", conv(2, 2)}, {"norm", norm(2)}}, [](Net& n, const Variable& x) {
    const Variable y = n["a"](x);
    return adaptive_avg_pool2d(relu(add(n["norm"](n["b"](y)), y)), 1, 1);
  });
  const FlowGraph graph = trace_flow(net, Variable(Tensor::ones({1, 1, 4, 4})));
  EXPECT_EQ(graph.outputs(), 2);
  EXPECT_EQ(graph.output_rows().size(), 2U);
  Net other({{"a", conv(1, 2)}, {"fc", dense(2, 5)}},
            [](Net& n, const Variable& x) { return slice(head(n, n["a"](x)), 1, 1, 4); });
  const auto rows = trace_flow(other, Variable(Tensor::ones({1, 1, 4, 4}))).output_rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows.begin()->first, &other.parameter("fc.weight"));
  EXPECT_EQ(rows.begin()->second, (std::vector<uint8_t>{0, 1, 1, 1, 0}));
}

/// Every number positive, shifts 0, statistics initial: then an output is greater than its shift
/// exactly if a path of weights leads to it. The input is small, so that no clamp is reached.
std::vector<double> flow_in_numbers(nn::Module& model, const Variable& x) {
  const auto net = model.clone();
  net->to(DType::F64);
  for (const nn::NamedParameter& one : net->named_parameters()) {
    Tensor& value = one.parameter->value.value();
    const bool weight = value.rank() > 1;
    double* v = value.data<double>();
    for (int64_t i = 0; i < value.numel(); ++i) {
      v[i] = weight ? std::abs(v[i]) : (one.name.ends_with("bias") ? 0.0 : 1.0);
    }
  }
  for (const nn::NamedModule& part : net->named_modules()) {
    auto* one = dynamic_cast<nn::BatchNorm*>(part.module);
    if (one == nullptr) continue;
    one->running_mean.fill_(0.0);
    one->running_var.fill_(1.0);
  }
  return logits(*net, x).to_vector<double>();
}

/// Masks of whole kernels (a tap alone might meet nothing but padding) of different densities; of
/// some networks whole layers go.
void mask_at_random(nn::Module& model, uint64_t seed) {
  Rng rng(seed, "masks");
  for (const nn::NamedParameter& weight : prunable_weights(model)) {
    const double kept = std::pow(10.0, -2.5 * rng.uniform());
    const bool empty = rng.uniform() < 0.05;
    const Shape& shape = weight.parameter->shape();
    Tensor mask = Tensor::zeros(shape, DType::U8);
    const int64_t taps = mask.numel() / (shape[0] * shape[1]);
    for (int64_t i = 0; i < mask.numel(); i += taps) {
      const uint8_t stays = !empty && rng.uniform() < kept ? 1 : 0;
      std::fill_n(mask.data<uint8_t>() + i, taps, stays);
    }
    weight.parameter->set_mask(mask);
  }
}

TEST(FlowGraph, LosesTheOutputsThatNumbersLoseOnEveryNetworkOfTheZoo) {
  int cut = 0;
  int partly = 0;
  int whole = 0;
  std::vector<std::pair<std::string, nn::ModelOptions>> models;
  for (const nn::ModelInfo& info : nn::model_list()) {
    // Attention's softmax and layer norm give something for nothing.
    if (info.name == "vit" || info.name == "gpt") continue;
    if (info.name == "resnet110" || info.name == "densenet-bc-100-12") continue;  // as 56 and 40
    models.emplace_back(info.name, small_options(info.name));
    if (models.back().second.image.height == 16) models.back().second.image = {3, 8, 8};
    if (info.stems) models.emplace_back(info.name, large_stem_options(info.name));
  }
  for (auto& [name, options] : models) {
    options.num_classes = 4;
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      const auto model = nn::make_model(name, options);
      mask_at_random(*model, seed);
      Variable x = nn::example_input(name, options);
      x.value().fill_(1e-30);
      const FlowGraph graph = trace_flow(*model, x);
      const Flow flow = graph.flow();
      const std::vector<double> numbers = flow_in_numbers(*model, in_float64(x));
      std::vector<int64_t> lost;
      for (size_t o = 0; o < numbers.size(); ++o) {
        if (numbers[o] == 0.0) lost.push_back(static_cast<int64_t>(o));
      }
      EXPECT_EQ(flow.lost_outputs, lost) << name << " " << seed;
      EXPECT_EQ(flow.cut, lost.size() == numbers.size()) << name << " " << seed;
      EXPECT_EQ(flow.ends.empty(), lost.empty()) << name << " " << seed;
      (lost.empty() ? whole : flow.cut ? cut : partly) += 1;
    }
  }
  EXPECT_GT(cut, 5);
  EXPECT_GT(whole, 5);
  EXPECT_GT(partly, 0);
}

TEST(FlowGraph, OfATransformerTheHeadIsACutAndABlockIsNot) {
  // The class token of vit knows the image by attention alone: one attention must stay.
  for (const char* name : {"vit", "gpt"}) {
    const nn::ModelOptions options = small_options(name);
    const auto model = nn::make_model(name, options);
    const Variable x = random_input(name, options, 1);
    const auto empty = [](nn::Parameter& weight) {
      weight.set_mask(Tensor::zeros(weight.shape(), DType::U8));
    };
    const std::vector<nn::NamedParameter> weights = prunable_weights(*model);
    std::vector<nn::Parameter*> attention;
    for (const nn::NamedParameter& weight : weights) {
      if (weight.name.starts_with("blocks.0.attn")) {
        attention.push_back(weight.parameter);
      } else if (weight.name.starts_with("blocks")) {
        empty(*weight.parameter);
      }
    }
    EXPECT_FALSE(trace_flow(*model, x).flow().cut) << name;
    for (nn::Parameter* weight : attention) empty(*weight);
    EXPECT_EQ(trace_flow(*model, x).flow().cut, std::string(name) == "vit");
    for (nn::Parameter* weight : attention) weight->set_mask({});
    ASSERT_EQ(weights.back().name, "head.weight");
    empty(*weights.back().parameter);
    const Flow flow = trace_flow(*model, x).flow();
    EXPECT_TRUE(flow.cut) << name;
    EXPECT_EQ(flow.ends, (Names{"head.weight"})) << name;
  }
}

}  // namespace
}  // namespace espalier::prune
