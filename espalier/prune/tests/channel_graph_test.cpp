// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/models/registry.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/tests/groups.h>
#include <espalier/prune/tests/net.h>

namespace espalier::prune {
namespace {

using nn::Conv2d;
using nn::Linear;
using testing::group;
using testing::Net;
using testing::slice;

std::shared_ptr<nn::Module> conv(int64_t in, int64_t out, int64_t groups = 1) {
  return std::make_shared<Conv2d>(Conv2d::Options{
      .in_channels = in, .out_channels = out, .padding = 1, .groups = groups, .bias = false});
}
std::shared_ptr<nn::Module> norm(int64_t channels) {
  return std::make_shared<nn::BatchNorm2d>(nn::BatchNorm::Options{.channels = channels});
}
std::shared_ptr<nn::Module> dense(int64_t in, int64_t out) {
  return std::make_shared<Linear>(Linear::Options{.in = in, .out = out, .bias = false});
}

Variable head(Net& net, const Variable& x) {
  return net["fc"](flatten(adaptive_avg_pool2d(x, 1, 1)));
}

std::vector<ChannelGroup> groups_of(Net& net) {
  return channel_groups(net, {3, 4, 4});
}

using Channels = std::vector<int32_t>;

TEST(ChannelGraph, ChainTiesFilterNormAndNextInput) {
  Net net({{"a", conv(3, 4)}, {"norm", norm(4)}, {"b", conv(4, 2)}, {"fc", dense(2, 5)}},
          [](Net& n, const Variable& x) { return head(n, n["b"](relu(n["norm"](n["a"](x))))); });
  const auto groups = groups_of(net);
  ASSERT_EQ(groups.size(), 3u);
  const ChannelGroup& a = group(groups, "a.weight");
  EXPECT_EQ(a.channels, 4);
  EXPECT_EQ(a.frozen_because, "");
  ASSERT_EQ(a.slices.size(), 6u);  // a, four of the norm, b
  EXPECT_EQ(slice(a, "a.weight", 0).role, SliceRole::Producer);
  EXPECT_EQ(slice(a, "a.weight", 0).channel_of, (Channels{0, 1, 2, 3}));
  EXPECT_EQ(slice(a, "norm.bias", 0).role, SliceRole::Follower);
  EXPECT_TRUE(slice(a, "norm.running_var", 0).buffer);
  EXPECT_FALSE(slice(a, "norm.weight", 0).buffer);
  EXPECT_EQ(slice(a, "b.weight", 1).role, SliceRole::Consumer);
  EXPECT_EQ(group(groups, "b.weight").channels, 2);
  EXPECT_EQ(group(groups, "fc.weight").frozen_because, "output of the network");
}

TEST(ChannelGraph, ATransposedConvolutionHasItsInputsInItsRows) {
  Net net({{"a", conv(3, 4)},
           {"up",
            std::make_shared<nn::ConvTranspose2d>(
                nn::ConvTranspose2d::Options{.in_channels = 4, .out_channels = 2, .stride = 2})},
           {"fc", dense(2, 5)}},
          [](Net& n, const Variable& x) { return head(n, relu(n["up"](relu(n["a"](x))))); });
  const auto groups = groups_of(net);
  const ChannelGroup& a = group(groups, "a.weight");
  EXPECT_EQ(a.frozen_because, "");
  EXPECT_EQ(slice(a, "up.weight", 0).role, SliceRole::Consumer);
  EXPECT_EQ(slice(a, "up.weight", 0).channel_of, (Channels{0, 1, 2, 3}));
  const ChannelGroup& up = group(groups, "up.weight");
  EXPECT_EQ(up.channels, 2);
  EXPECT_EQ(slice(up, "up.weight", 1).role, SliceRole::Producer);
  EXPECT_EQ(slice(up, "up.bias", 0).channel_of, (Channels{0, 1}));
  EXPECT_EQ(slice(up, "fc.weight", 1).role, SliceRole::Consumer);
}

TEST(ChannelGraph, ConvolutionsOfSequencesHaveTheirChannelsInTheMiddle) {
  const auto conv1d = [](int64_t in, int64_t out, int64_t groups) {
    return std::make_shared<nn::Conv1d>(nn::Conv1d::Options{
        .in_channels = in, .out_channels = out, .padding = 1, .groups = groups, .bias = false});
  };
  Net net({{"a", conv1d(3, 4, 1)}, {"d", conv1d(4, 4, 4)}, {"b", conv1d(4, 2, 1)}},
          [](Net& n, const Variable& x) {
            return n["b"](relu(n["d"](relu(n["a"](reshape(x, {1, 3, 16}))))));
          });
  const auto groups = groups_of(net);
  const ChannelGroup& a = group(groups, "a.weight");
  EXPECT_EQ(a.channels, 4);
  EXPECT_EQ(a.frozen_because, "");
  EXPECT_EQ(slice(a, "d.weight", 0).role, SliceRole::Follower);
  EXPECT_EQ(slice(a, "b.weight", 1).channel_of, (Channels{0, 1, 2, 3}));
  EXPECT_EQ(group(groups, "b.weight").frozen_because, "output of the network");
}

TEST(ChannelGraph, AConstantOfEachChannelOfSequencesFreezesThem) {
  Net net({{"a",
            std::make_shared<nn::Conv1d>(
                nn::Conv1d::Options{.in_channels = 3, .out_channels = 4, .kernel = 1})},
           {"b",
            std::make_shared<nn::Conv1d>(
                nn::Conv1d::Options{.in_channels = 4, .out_channels = 2, .kernel = 1})}},
          [](Net& n, const Variable& x) {
            const Variable shift(Tensor::from<float>({4, 1}, {1, 2, 3, 4}));
            return n["b"](n["a"](reshape(x, {1, 3, 16})) * shift);
          });
  EXPECT_NE(group(groups_of(net), "a.weight").frozen_because, "");
}

TEST(ChannelGraph, WhatAttentionReadsBesideItsInputKeepsItsChannels) {
  Net net({{"keys", dense(4, 4)},
           {"attention",
            std::make_shared<nn::MultiheadAttention>(
                nn::MultiheadAttention::Options{.dim = 4, .heads = 2})}},
          [](Net& n, const Variable& x) {
            const Variable rows = reshape(x, {1, 12, 4});
            const Variable keys = n["keys"](rows);
            auto& attention = dynamic_cast<nn::MultiheadAttention&>(n["attention"]);
            return attention.attend(rows, keys, keys);
          });
  EXPECT_NE(group(groups_of(net), "keys.weight").frozen_because.find("reads it beside its input"),
            std::string::npos);
}

TEST(ChannelGraph, ALayerWhoseForwardRunsPastItIsAnError) {
  class Open : public Linear {
   public:
    using Linear::Linear;
    Variable forward(const Variable& x) override { return Linear::forward(x); }
  };
  Net net(
      {{"fc", std::make_shared<Open>(Linear::Options{.in = 48, .out = 5})}},
      [](Net& n, const Variable& x) { return dynamic_cast<Open&>(n["fc"]).forward(flatten(x)); });
  EXPECT_THROW(groups_of(net), ValueError);
}

TEST(ChannelGraph, SumMakesChannelsOne) {
  Net net({{"a", conv(3, 4)}, {"b", conv(4, 4)}, {"fc", dense(4, 5)}},
          [](Net& n, const Variable& x) {
            const Variable y = n["a"](x);
            return head(n, relu(y + n["b"](y)));
          });
  const auto groups = groups_of(net);
  ASSERT_EQ(groups.size(), 2u);
  const ChannelGroup& stream = group(groups, "a.weight");
  EXPECT_EQ(slice(stream, "b.weight", 0).role, SliceRole::Producer);
  EXPECT_EQ(slice(stream, "b.weight", 1).role, SliceRole::Consumer);
  EXPECT_EQ(slice(stream, "fc.weight", 1).channel_of, (Channels{0, 1, 2, 3}));
}

TEST(ChannelGraph, ConcatKeepsChannelsApart) {
  Net net({{"a", conv(3, 2)}, {"b", conv(3, 3)}, {"norm", norm(5)}, {"fc", dense(5, 2)}},
          [](Net& n, const Variable& x) {
            return head(n, n["norm"](concat({n["a"](x), n["b"](x)}, 1)));
          });
  const auto groups = groups_of(net);
  EXPECT_EQ(slice(group(groups, "a.weight"), "norm.weight", 0).channel_of,
            (Channels{0, 1, -1, -1, -1}));
  EXPECT_EQ(slice(group(groups, "b.weight"), "norm.weight", 0).channel_of,
            (Channels{-1, -1, 0, 1, 2}));
  EXPECT_EQ(slice(group(groups, "b.weight"), "fc.weight", 1).channel_of,
            (Channels{-1, -1, 0, 1, 2}));
}

TEST(ChannelGraph, FlattenGivesEveryPixelToItsChannel) {
  Net net({{"a", conv(3, 2)}, {"fc", dense(2 * 16, 2)}},
          [](Net& n, const Variable& x) { return n["fc"](flatten(relu(n["a"](x)))); });
  Channels expected(16, 0);
  expected.resize(32, 1);
  EXPECT_EQ(slice(group(groups_of(net), "a.weight"), "fc.weight", 1).channel_of, expected);
}

TEST(ChannelGraph, DepthwiseFollows) {
  Net net({{"a", conv(3, 4)}, {"deep", conv(4, 4, 4)}, {"fc", dense(4, 2)}},
          [](Net& n, const Variable& x) { return head(n, n["deep"](n["a"](x))); });
  const ChannelGroup& a = group(groups_of(net), "a.weight");
  EXPECT_EQ(slice(a, "deep.weight", 0).role, SliceRole::Follower);
  EXPECT_EQ(slice(a, "fc.weight", 1).role, SliceRole::Consumer);
}

TEST(ChannelGraph, GroupedConvolutionIsFrozenByName) {
  Net net({{"a", conv(3, 4)}, {"grouped", conv(4, 6, 2)}, {"fc", dense(6, 2)}},
          [](Net& n, const Variable& x) { return head(n, n["grouped"](n["a"](x))); });
  for (const ChannelGroup& one : groups_of(net)) {
    if (one.name == "fc.weight") continue;
    EXPECT_NE(one.frozen_because.find("grouped"), std::string::npos) << one.name;
  }
}

TEST(ChannelGraph, SharedLayerIsOneMember) {
  Net net(
      {{"a", conv(3, 4)}, {"twice", conv(4, 4)}, {"fc", dense(4, 2)}},
      [](Net& n, const Variable& x) { return head(n, n["twice"](relu(n["twice"](n["a"](x))))); });
  const auto groups = groups_of(net);
  // Inputs of both uses are the same weights: channels of `a` and of `twice` go together.
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(slice(groups[0], "twice.weight", 0).role, SliceRole::Producer);
  EXPECT_EQ(slice(groups[0], "twice.weight", 1).role, SliceRole::Consumer);
}

TEST(ChannelGraph, UnknownOpFreezesItsInputsByName) {
  Net net({{"a", conv(3, 4)}, {"b", conv(4, 4)}, {"fc", dense(4, 2)}},
          [](Net& n, const Variable& x) { return head(n, n["b"](softmax(n["a"](x), 1))); });
  const auto groups = groups_of(net);
  EXPECT_NE(group(groups, "a.weight").frozen_because.find("softmax"), std::string::npos);
  EXPECT_EQ(group(groups, "b.weight").frozen_because, "");
}

TEST(ChannelGraph, ConstantOfARemovedChannelFreezesIt) {
  const auto net_with = [](std::function<Variable(const Variable&)> f) {
    return Net({{"a", conv(3, 4)}, {"b", conv(4, 4)}, {"fc", dense(4, 2)}},
               [f](Net& n, const Variable& x) { return head(n, n["b"](f(n["a"](x)))); });
  };
  const auto frozen = [](Net net) {
    return !group(groups_of(net), "a.weight").frozen_because.empty();
  };
  EXPECT_TRUE(frozen(net_with([](const Variable& x) { return sigmoid(x); })));
  EXPECT_TRUE(frozen(net_with([](const Variable& x) { return x + 1.0; })));
  EXPECT_TRUE(frozen(net_with([](const Variable& x) { return clamp(x, 0.1, 6.0); })));
  EXPECT_FALSE(frozen(net_with([](const Variable& x) { return x * sigmoid(x); })));
  EXPECT_FALSE(frozen(net_with([](const Variable& x) { return clamp(x, 0.0, 6.0); })));
  EXPECT_FALSE(frozen(net_with([](const Variable& x) { return x * 3.0; })));
}

TEST(ChannelGraph, TensorThatNoLayerMakesFreezes) {
  Net net({{"a", conv(3, 4)}, {"fc", dense(4, 2)}}, [](Net& n, const Variable& x) {
    return head(n, n["a"](x) * Variable(Tensor::ones({4, 1, 1})));
  });
  EXPECT_NE(group(groups_of(net), "a.weight").frozen_because.find("no layer makes"),
            std::string::npos);
}

TEST(ChannelGraph, OptionAShortcutTiesShiftedChannels) {
  const auto model = nn::make_model("resnet20");
  const auto groups = channel_groups(*model, {3, 32, 32});
  // Streams: 16 channels of stage 1, the 16 new ones of stage 2, the 32 new ones of stage 3; the
  // inner channels of 9 blocks; the classes.
  ASSERT_EQ(groups.size(), 13u);
  const ChannelGroup& stream = group(groups, "conv1.weight");
  EXPECT_EQ(stream.channels, 16);
  EXPECT_EQ(stream.frozen_because, "");
  const Channels& second = slice(stream, "layer2.0.conv2.weight", 0).channel_of;
  const Channels& third = slice(stream, "layer3.2.conv2.weight", 0).channel_of;
  for (int32_t c = 0; c < 32; ++c) EXPECT_EQ(second[size_t(c)], c >= 8 && c < 24 ? c - 8 : -1);
  for (int32_t c = 0; c < 64; ++c) EXPECT_EQ(third[size_t(c)], c >= 24 && c < 40 ? c - 24 : -1);
  EXPECT_EQ(group(groups, "layer2.0.conv2.weight").channels, 16);
  EXPECT_EQ(group(groups, "layer3.0.conv2.weight").channels, 32);
  EXPECT_EQ(group(groups, "layer3.1.conv1.weight").channels, 64);
}

TEST(ChannelGraph, ProjectionsSeparateTheStages) {
  const auto model = nn::make_model("resnet20", {.shortcut = nn::Shortcut::B});
  const auto groups = channel_groups(*model, {3, 32, 32});
  ASSERT_EQ(groups.size(), 13u);
  EXPECT_EQ(group(groups, "conv1.weight").channels, 16);
  EXPECT_EQ(group(groups, "layer2.0.conv2.weight").channels, 32);
  EXPECT_EQ(slice(group(groups, "layer2.0.conv2.weight"), "layer2.0.downsample.1.weight", 0).role,
            SliceRole::Follower);
}

TEST(ChannelGraph, TransformerFreesItsHiddenUnits) {
  const auto model = nn::make_model("vit");
  const auto groups = channel_groups(*model, {3, 32, 32});
  EXPECT_EQ(group(groups, "blocks.0.fc1.weight").frozen_because, "");
  EXPECT_EQ(group(groups, "blocks.0.fc1.weight").channels, 768);
  EXPECT_NE(group(groups, "patch_embed.weight").frozen_because, "");
  EXPECT_NE(group(groups, "blocks.0.attn.q.weight").frozen_because.find("bmm"), std::string::npos);
}

TEST(ChannelGraph, TracingChangesNothing) {
  const auto model = nn::make_model("resnet20");
  model->train();
  const auto before = model->state_dict().at("bn1.running_mean").to_vector<float>();
  const ChannelGraph graph = trace_channels(*model, Variable(Tensor::ones({1, 3, 32, 32})));
  EXPECT_GT(graph.channels(), 0);
  EXPECT_TRUE(model->training());
  EXPECT_EQ(model->state_dict().at("bn1.running_mean").to_vector<float>(), before);
  EXPECT_THROW(trace_channels(*model, Variable(Tensor::ones({2, 3, 32, 32}))), ShapeError);
}

}  // namespace
}  // namespace espalier::prune
