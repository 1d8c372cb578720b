// SPDX-License-Identifier: Apache-2.0
/// What passes channels on: depthwise convolutions of any stride, gates of channels
/// (squeeze-and-excitation), concatenations. Groups are worked out by hand; that a network without
/// some of its channels gives the same numbers is tried on real passes, in both layouts.
#include <algorithm>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/groups.h>
#include <espalier/prune/tests/net.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

using testing::group;
using testing::Net;
using testing::slice;
using Channels = std::vector<int32_t>;

// Float32 sums of some ten terms around 1 in another order.
constexpr double kSumTolerance = 2e-6;

struct ConvOptions {
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t groups = 1;
  bool bias = false;
};

std::shared_ptr<nn::Module> conv(int64_t in, int64_t out, const ConvOptions& options = {}) {
  return std::make_shared<nn::Conv2d>(nn::Conv2d::Options{.in_channels = in,
                                                          .out_channels = out,
                                                          .kernel = options.kernel,
                                                          .stride = options.stride,
                                                          .padding = options.kernel / 2,
                                                          .groups = options.groups,
                                                          .bias = options.bias});
}
std::shared_ptr<nn::Module> norm(int64_t channels) {
  return std::make_shared<nn::BatchNorm2d>(nn::BatchNorm::Options{.channels = channels});
}
std::shared_ptr<nn::Module> dense(int64_t in, int64_t out) {
  return std::make_shared<nn::Linear>(nn::Linear::Options{.in = in, .out = out});
}

Variable head(Net& net, const Variable& x) {
  return net["fc"](flatten(adaptive_avg_pool2d(x, 1, 1)));
}

const Shape kImage = {3, 6, 6};

/// Takes channel `gone` out of `name`'s group, and expects the same outputs of the smaller network.
void expect_same_without(nn::Module& net, std::string_view name, size_t gone) {
  randomize(net, 1);
  const std::vector<ChannelGroup> groups = channel_groups(net, kImage);
  std::vector<std::vector<uint8_t>> keep;
  for (const ChannelGroup& one : groups) {
    keep.emplace_back(static_cast<size_t>(one.channels), uint8_t{1});
    if (one.name == name) keep.back().at(gone) = 0;
  }
  mask_channels(net, groups, keep);
  Tensor images = Tensor::empty(kImage.inserted(0, 5));
  Rng rng(3, "images");
  fill_normal_(images, rng);
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const std::unique_ptr<nn::Module> small = net.clone();
    const Variable x(images.to(layout));
    const Tensor before = logits(*small, x);
    const ResizeReport report = shrink(*small, Variable(Tensor::zeros(kImage.inserted(0, 1))));
    EXPECT_EQ(report.channels_before - report.channels, 1);
    EXPECT_LT(report.params, report.params_before);
    EXPECT_LT(largest_difference(before, logits(*small, x)), kSumTolerance);
  }
}

/// Names of the sites of methods that prune channels which one layer makes.
std::vector<std::string> site_names(nn::Module& net) {
  std::vector<std::string> notes;
  std::vector<std::string> names;
  for (const Site& site :
       channel_sites(net, channel_groups(net, kImage), prunable_weights(net, {}), true, notes)) {
    names.push_back(site.name);
  }
  return names;
}

Net with_depthwise(int64_t stride) {
  return Net({{"a", conv(3, 4)},
              {"deep", conv(4, 4, {.stride = stride, .groups = 4, .bias = true})},
              {"norm", norm(4)},
              {"b", conv(4, 2)},
              {"fc", dense(2, 3)}},
             [](Net& n, const Variable& x) {
               return head(n, n["b"](relu(n["norm"](n["deep"](n["a"](x))))));
             });
}

TEST(PassingChannels, ADepthwiseConvolutionOfStrideTwoPassesThemOn) {
  Net net = with_depthwise(2);
  const ChannelGroup a = group(channel_groups(net, kImage), "a.weight");
  EXPECT_EQ(a.frozen_because, "");
  EXPECT_EQ(slice(a, "deep.weight", 0).role, SliceRole::Follower);
  EXPECT_EQ(slice(a, "deep.bias", 0).channel_of, (Channels{0, 1, 2, 3}));
  EXPECT_EQ(slice(a, "norm.weight", 0).channel_of, (Channels{0, 1, 2, 3}));
  EXPECT_EQ(slice(a, "b.weight", 1).role, SliceRole::Consumer);
  EXPECT_EQ(slice(a, "b.weight", 1).channel_of, (Channels{0, 1, 2, 3}));
  expect_same_without(net, "a.weight", 2);
}

TEST(PassingChannels, AllExpansionsOfMobileNetCanBePruned) {
  const auto model = nn::make_model("mobilenetv2", {.image = {3, 16, 16}, .width = 0.25});
  const auto groups = channel_groups(*model, {3, 16, 16});
  for (const char* block : {"features.4", "features.7", "features.14"}) {
    const ChannelGroup hidden = group(groups, cat(block, ".conv.0.0.weight"));
    EXPECT_EQ(hidden.frozen_because, "");
    EXPECT_EQ(slice(hidden, cat(block, ".conv.1.0.weight"), 0).role, SliceRole::Follower);
    EXPECT_EQ(slice(hidden, cat(block, ".conv.2.weight"), 1).role, SliceRole::Consumer);
  }
}

enum class Gate { Convolutions, Linears, Mean, HardSigmoid };

/// a -> norm -> relu -> times a gate of each channel, made of the channels' means -> b.
Net squeeze_and_excite(Gate kind) {
  const bool planes = kind == Gate::Convolutions;
  const ConvOptions one = {.kernel = 1, .bias = true};
  return Net({{"a", conv(3, 8)},
              {"norm", norm(8)},
              {"squeeze", planes ? conv(8, 2, one) : dense(8, 2)},
              {"excite", planes ? conv(2, 8, one) : dense(2, 8)},
              {"b", conv(8, 4)},
              {"fc", dense(4, 3)}},
             [kind, planes](Net& n, const Variable& x) {
               const Variable y = relu(n["norm"](n["a"](x)));
               Variable means = kind == Gate::Mean ? mean(y, {2, 3}) : adaptive_avg_pool2d(y, 1, 1);
               if (kind == Gate::Linears || kind == Gate::HardSigmoid) means = flatten(means);
               const Variable told = n["excite"](relu(n["squeeze"](means)));
               Variable gate = kind == Gate::HardSigmoid ? clamp(told + 3.0, 0.0, 6.0) * (1.0 / 6.0)
                                                         : sigmoid(told);
               if (!planes) gate = reshape(gate, {gate.size(0), gate.size(1), 1, 1});
               return head(n, relu(n["b"](y * gate)));
             });
}

TEST(PassingChannels, GatesOfSqueezeAndExciteFollowTheChannelsThatTheyMultiply) {
  for (const Gate kind : {Gate::Convolutions, Gate::Linears, Gate::Mean, Gate::HardSigmoid}) {
    Net net = squeeze_and_excite(kind);
    const ChannelGroup a = group(channel_groups(net, kImage), "a.weight");
    EXPECT_EQ(a.frozen_because, "");
    EXPECT_EQ(slice(a, "a.weight", 0).role, SliceRole::Producer);
    EXPECT_EQ(slice(a, "excite.weight", 0).role, SliceRole::Follower);
    EXPECT_EQ(slice(a, "excite.bias", 0).channel_of, (Channels{0, 1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(slice(a, "squeeze.weight", 1).role, SliceRole::Consumer);
    EXPECT_EQ(slice(a, "b.weight", 1).role, SliceRole::Consumer);
    EXPECT_EQ(site_names(net),
              (std::vector<std::string>{"a.weight", "squeeze.weight", "b.weight"}));
    expect_same_without(net, "a.weight", 5);
  }
}

TEST(PassingChannels, AChannelOfZerosGoesWhateverItsGateSays) {
  Net net = squeeze_and_excite(Gate::Convolutions);
  randomize(net, 1);
  for (const char* name : {"a.weight", "norm.weight", "norm.bias"}) {
    nn::Parameter& parameter = net.parameter(name);
    Tensor mask = Tensor::ones(parameter.shape(), DType::U8);
    mask.slice(0, 3, 4).fill_(0.0);
    parameter.set_mask(mask);
  }
  const ResizeReport report = shrink(net, Variable(Tensor::zeros(kImage.inserted(0, 1))));
  EXPECT_EQ(report.channels_before - report.channels, 1);
  EXPECT_EQ(net.parameter("excite.weight").shape(), (Shape{7, 2, 1, 1}));
  EXPECT_EQ(net.parameter("squeeze.weight").shape(), (Shape{2, 7, 1, 1}));
}

TEST(PassingChannels, AGateThatSomebodyElseReadsMakesItsChannels) {
  // excite's own outputs go on to c: they would be missed there.
  Net net({{"a", conv(3, 4)},
           {"excite", conv(3, 4, {.bias = true})},
           {"b", conv(4, 2)},
           {"c", conv(4, 2)},
           {"fc", dense(2, 3)}},
          [](Net& n, const Variable& x) {
            const Variable told = n["excite"](x);
            return head(n, n["b"](n["a"](x) * sigmoid(told)) + n["c"](told));
          });
  const ChannelGroup both = group(channel_groups(net, kImage), "excite.weight");
  EXPECT_EQ(slice(both, "excite.weight", 0).role, SliceRole::Producer);
  EXPECT_EQ(slice(both, "a.weight", 0).role, SliceRole::Producer);
  expect_same_without(net, "excite.weight", 1);
}

/// Layers that add their outputs to what they read, as in a DenseNet.
Net with_concatenation() {
  return Net({{"a", conv(3, 4)}, {"b", conv(4, 3)}, {"c", conv(7, 2)}, {"fc", dense(2, 3)}},
             [](Net& n, const Variable& x) {
               const Variable y = n["a"](x);
               return head(n, n["c"](concat({y, n["b"](relu(y))}, 1)));
             });
}

TEST(PassingChannels, ConcatenationsPassThemOnWithOffsets) {
  Net net = with_concatenation();
  const auto groups = channel_groups(net, kImage);
  EXPECT_EQ(slice(group(groups, "a.weight"), "c.weight", 1).channel_of,
            (Channels{0, 1, 2, 3, -1, -1, -1}));
  EXPECT_EQ(slice(group(groups, "b.weight"), "c.weight", 1).channel_of,
            (Channels{-1, -1, -1, -1, 0, 1, 2}));
  expect_same_without(net, "a.weight", 2);
  Net other = with_concatenation();
  expect_same_without(other, "b.weight", 1);
}

TEST(PassingChannels, NumbersOfChannelsInTheCodeFreezeThem) {
  const auto frozen = [](std::function<Variable(const Variable&)> function) {
    Net net({{"a", conv(3, 4)}, {"fc", dense(4, 3)}},
            [function](Net& n, const Variable& x) { return head(n, function(n["a"](x))); });
    return group(channel_groups(net, kImage), "a.weight").frozen_because;
  };
  const auto halves = [](const Variable& y) {
    return concat({slice(y, 1, 2, 4), slice(y, 1, 0, 2)}, 1);
  };
  const Tensor order = Tensor::from<int64_t>({4}, {3, 1, 0, 2});
  EXPECT_NE(frozen(halves).find("by their numbers"), std::string::npos);
  EXPECT_NE(frozen([&](const Variable& y) { return index_select(y, 1, order); }), "");
  // Rows and columns are not channels.
  EXPECT_EQ(frozen([](const Variable& y) { return slice(y, 2, 0, 3); }), "");
  EXPECT_EQ(frozen([](const Variable& y) { return pad(y, {{2, 1, 1}, {3, 1, 1}}); }), "");
}

}  // namespace
}  // namespace espalier::prune
