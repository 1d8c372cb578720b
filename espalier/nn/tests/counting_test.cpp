// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/layers/activations.h>
#include <espalier/nn/layers/attention.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv1d.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/conv_transpose2d.h>
#include <espalier/nn/layers/flatten.h>
#include <espalier/nn/layers/gru.h>
#include <espalier/nn/layers/layer_norm.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/sequential.h>

namespace espalier::nn {
namespace {

// 2 -> 4 channels, 3x3, stride 2, padding 1: 8x8 to 4x4; then depthwise 3x3; then 64 -> 3.
Sequential small_net() {
  Sequential net;
  net.add("conv", Conv2d({.in_channels = 2, .out_channels = 4, .stride = 2, .padding = 1}));
  net.add("norm", BatchNorm2d({.channels = 4, .relu = true}));
  net.add("depthwise", Conv2d({.in_channels = 4, .out_channels = 4, .padding = 1, .groups = 4}));
  net.add("flatten", Flatten());
  net.add("fc", Linear({.in = 64, .out = 3}));
  for (const NamedParameter& p : net.named_parameters()) p.parameter->value.value().fill_(1.0);
  return net;
}

constexpr int64_t kConvMacs = 4 * 2 * 9 * 16;
constexpr int64_t kDepthwiseMacs = 4 * 9 * 16;
constexpr int64_t kLinearMacs = 64 * 3;

const LayerCount& layer(const ModelCount& count, std::string_view name) {
  for (const LayerCount& one : count.layers) {
    if (one.name == name) return one;
  }
  throw ValueError("no such layer");
}

TEST(Counting, DenseNetworkByHand) {
  Sequential net = small_net();
  const ModelCount count = count_model(net, Shape{2, 8, 8});
  EXPECT_EQ(layer(count, "conv").macs_dense, kConvMacs);
  EXPECT_EQ(layer(count, "depthwise").macs_dense, kDepthwiseMacs);
  EXPECT_EQ(layer(count, "fc").macs_dense, kLinearMacs);
  EXPECT_EQ(layer(count, "norm").macs_dense, 0);
  EXPECT_EQ(count.total.macs_dense, kConvMacs + kDepthwiseMacs + kLinearMacs);
  EXPECT_EQ(count.total.macs_effective, count.total.macs_dense);
  EXPECT_EQ(count.total.macs_executed, count.total.macs_dense);
  EXPECT_EQ(count.total.params, (72 + 4) + 8 + (36 + 4) + (192 + 3));
  EXPECT_EQ(count.total.params_nonzero, count.total.params);
  EXPECT_EQ(count.total.weights, 72 + 36 + 192);
  EXPECT_EQ(count.sparsity(), 0.0);
  EXPECT_EQ(layer(count, "conv").output, (Shape{1, 4, 4, 4}));
}

TEST(Counting, BatchSizeDoesNotMatter) {
  Sequential net = small_net();
  const ModelCount one = count_model(net, Shape{2, 8, 8});
  const ModelCount many = count_model(net, Variable(Tensor::zeros({17, 2, 8, 8})));
  const ModelCount lanes =
      count_model(net, Variable(Tensor::zeros({17, 2, 8, 8}, DType::F32, Layout::Nchw16n)));
  EXPECT_EQ(many.total.macs_dense, one.total.macs_dense);
  EXPECT_EQ(lanes.total.macs_dense, one.total.macs_dense);
}

TEST(Counting, MasksLowerEffectiveMacsOnly) {
  Sequential net = small_net();
  // Remove output channel 0 of `conv`: 18 of 72 weights.
  Tensor mask = Tensor::ones({4, 2, 3, 3}, DType::U8);
  mask.slice(0, 0, 1).fill_(0.0);
  net.parameter("conv.weight").set_mask(mask);
  const ModelCount count = count_model(net, Shape{2, 8, 8});
  EXPECT_EQ(layer(count, "conv").macs_dense, kConvMacs);
  EXPECT_EQ(layer(count, "conv").macs_effective, 54 * 16);
  EXPECT_EQ(layer(count, "conv").macs_executed, kConvMacs);
  EXPECT_EQ(layer(count, "conv").params_nonzero, 54 + 4);
  EXPECT_EQ(layer(count, "conv").sparsity(), 0.25);
  EXPECT_EQ(count.sparsity(), 18.0 / 300.0);
}

TEST(Counting, ZerosWithoutMaskCountAsRemovedWeightsOnly) {
  Sequential net = small_net();
  net.parameter("fc.weight").value.value().slice(1, 0, 32).fill_(0.0);
  net.parameter("fc.bias").value.value().fill_(0.0);
  const ModelCount count = count_model(net, Shape{2, 8, 8});
  EXPECT_EQ(layer(count, "fc").weights_nonzero, 96);
  EXPECT_EQ(layer(count, "fc").params_nonzero, 96 + 3);  // a bias of zero is no pruned weight
  EXPECT_EQ(layer(count, "fc").macs_effective, 96);
}

TEST(Counting, KeptWeightsThatAreZeroAreNoRemovedOnes) {
  Sequential net = small_net();
  Parameter& weight = net.parameter("fc.weight");
  weight.set_mask(Tensor::ones({3, 64}, DType::U8));
  Tensor half = Tensor::ones({3, 64}, DType::U8);
  half.slice(1, 0, 32).fill_(0.0);
  weight.set_mask(half);
  weight.set_mask(Tensor::ones({3, 64}, DType::U8));  // grown again: 96 are zero and kept
  const ModelCount grown = count_model(net, Shape{2, 8, 8});
  EXPECT_EQ(grown.sparsity(), 0.0);
  EXPECT_EQ(layer(grown, "fc").params_nonzero, 192 + 3);
  EXPECT_EQ(layer(grown, "fc").macs_effective, kLinearMacs);
}

TEST(Counting, ExecutedMacsAreWhatTheKernelsDid) {
  Sequential net = small_net();
  // Few enough weights are left that the linear kernel of the training layout walks over these
  // only.
  Tensor mask = Tensor::zeros({3, 64}, DType::U8);
  mask.slice(1, 0, 8).fill_(1.0);
  net.parameter("fc.weight").set_mask(mask);
  const Tensor lanes = Tensor::zeros({5, 2, 8, 8}, DType::F32, Layout::Nchw16n);
  const ModelCount sparse = count_model(net, Variable(lanes));
  EXPECT_EQ(layer(sparse, "fc").macs_executed, 24);
  EXPECT_EQ(layer(sparse, "conv").macs_executed, kConvMacs);
  EXPECT_EQ(sparse.total.macs_executed, kConvMacs + kDepthwiseMacs + 24);
  // Plain activations go through the same kernel.
  const ModelCount plain = count_model(net, Variable(Tensor::zeros({5, 2, 8, 8})));
  EXPECT_EQ(layer(plain, "fc").macs_executed, 24);
  // Too many weights are left for it to be worth while: the matrix is multiplied whole.
  Sequential fuller = small_net();
  mask.slice(1, 8, 56).fill_(1.0);
  fuller.parameter("fc.weight").set_mask(mask);
  const ModelCount whole = count_model(fuller, Variable(lanes));
  EXPECT_EQ(layer(whole, "fc").macs_executed, kLinearMacs);
  EXPECT_EQ(layer(whole, "fc").macs_effective, 168);
}

TEST(Counting, LayersInsideOfLayersAreNotCountedTwice) {
  MultiheadAttention attention({.dim = 8, .heads = 2});
  const ModelCount count = count_model(attention, Variable(Tensor::zeros({2, 5, 8})));
  EXPECT_EQ(count.total.macs_dense, 5 * (3 * 8 * 8 + 8 * 8));
  EXPECT_EQ(count.total.macs_executed, count.total.macs_dense);
}

TEST(Counting, ATransposedConvolutionMultipliesAtEveryPositionOfItsInput) {
  // 2 -> 3 channels, 3x3 taps, 4x5 positions in; depthwise after it on the 9x11 that come out.
  Sequential net;
  net.add("up", ConvTranspose2d({.in_channels = 2, .out_channels = 3, .stride = 2}));
  net.add("depthwise", ConvTranspose2d({.in_channels = 3, .out_channels = 3, .groups = 3}));
  Tensor mask = Tensor::ones({2, 3, 3, 3}, DType::U8);
  mask.slice(0, 0, 1).fill_(0.0);
  net.parameter("up.weight").set_mask(mask);
  const ModelCount count = count_model(net, Shape{2, 4, 5});
  EXPECT_EQ(layer(count, "up").output, (Shape{1, 3, 9, 11}));
  EXPECT_EQ(layer(count, "up").weights, 54);
  EXPECT_EQ(layer(count, "up").macs_dense, 54 * 20);
  EXPECT_EQ(layer(count, "up").macs_effective, 27 * 20);
  EXPECT_EQ(layer(count, "depthwise").weights, 27);
  EXPECT_EQ(layer(count, "depthwise").macs_dense, 27 * 99);
}

TEST(Counting, AConvolutionOfSequencesMultipliesAtEveryPositionOfItsOutput) {
  Sequential net;
  net.add("conv", Conv1d({.in_channels = 2, .out_channels = 4, .kernel = 3, .stride = 2}));
  net.add("depthwise", Conv1d({.in_channels = 4, .out_channels = 4, .kernel = 2, .groups = 4}));
  const ModelCount count = count_model(net, Variable(Tensor::zeros({3, 2, 9})));
  EXPECT_EQ(layer(count, "conv").macs_dense, 24 * 4);
  EXPECT_EQ(layer(count, "depthwise").macs_dense, 8 * 3);
  EXPECT_EQ(count.total.weights, 24 + 8);
  EXPECT_EQ(count.total.macs_executed, 24 * 4 + 8 * 3);
}

TEST(Counting, ANormOfManyDimensionsHasNoPrunableWeight) {
  LayerNorm norm({.shape = {2, 3, 4, 5}});
  EXPECT_EQ(count_model(norm, Variable(Tensor::zeros({1, 2, 3, 4, 5}))).total.weights, 0);
}

TEST(Counting, NamedFunctionsAreCalls) {
  // Attention over another sequence, and a recurrent layer from given states.
  class Reader : public Module {
   public:
    Reader() : attention({.dim = 4}), gru({.in = 4, .hidden = 3}) {}
    void visit(MemberVisitor& visitor) override {
      visitor.module("attention", attention);
      visitor.module("gru", gru);
    }
    std::string describe() const override { return "Reader"; }
    MultiheadAttention attention;
    Gru gru;

   protected:
    Variable forward(const Variable& x) override {
      const Variable memory(Tensor::ones({x.size(0), 7, 4}));
      return gru.run(attention.attend(x, memory, memory), Variable(Tensor::ones({1, x.size(0), 3})))
          .output;
    }
    std::unique_ptr<Module> shallow_copy() const override {
      return std::make_unique<Reader>(*this);
    }
  };
  Reader net;
  const ModelCount count = count_model(net, Variable(Tensor::zeros({1, 5, 4})));
  EXPECT_EQ(layer(count, "gru").macs_dense, 5 * (9 * 4 + 9 * 3));
  EXPECT_GT(layer(count, "attention").macs_executed, 0);
}

TEST(Counting, AForwardThatRunsPastTheLayerIsAnError) {
  // A layer of somebody's own may have a public forward.
  class Open : public Linear {
   public:
    using Linear::Linear;
    Variable forward(const Variable& x) override { return Linear::forward(x); }
  };
  class Past : public Module {
   public:
    explicit Past(bool past) : past_(past), fc({.in = 4, .out = 4}) {}
    void visit(MemberVisitor& visitor) override { visitor.module("fc", fc); }
    std::string describe() const override { return "Past"; }

   protected:
    Variable forward(const Variable& x) override { return past_ ? fc.forward(x) : fc(x); }
    std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Past>(*this); }

   private:
    bool past_;
    Open fc;
  };
  const Variable x(Tensor::ones({1, 4}));
  Past good(false), bad(true);
  EXPECT_EQ(count_model(good, x).total.macs_dense, 16);
  try {
    count_model(bad, x);
    FAIL();
  } catch (const ValueError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("'linear' reads a parameter of 'fc'"), std::string::npos) << text;
    EXPECT_NE(text.find("part(x), not part.forward(x)"), std::string::npos) << text;
  }
}

TEST(Counting, AModuleThatVisitForgotIsNamed) {
  class Forgetful : public Module {
   public:
    void visit(MemberVisitor&) override {}
    std::string describe() const override { return "Forgetful"; }

   protected:
    Variable forward(const Variable& x) override { return relu_(x); }
    std::unique_ptr<Module> shallow_copy() const override {
      return std::make_unique<Forgetful>(*this);
    }

   private:
    ReLU relu_;
  };
  Forgetful net;
  try {
    count_model(net, Variable(Tensor::ones({1, 4})));
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("calls ReLU, which its visit() does not name"),
              std::string::npos)
        << error.what();
  }
}

TEST(Counting, SharedLayerCountsItsParametersOnceAndItsMacsTwice) {
  Sequential net;
  const auto shared = std::make_shared<Linear>(Linear::Options{.in = 5, .out = 5, .bias = false});
  net.add_shared("a", shared);
  net.add("relu", ReLU());
  net.add_shared("b", shared);
  const ModelCount count = count_model(net, Variable(Tensor::zeros({1, 5})));
  EXPECT_EQ(count.total.params, 25);
  EXPECT_EQ(count.total.macs_dense, 50);
}

TEST(Counting, LeavesTrainingFlagsAndStatisticsAlone) {
  Sequential net = small_net();
  net.train();
  net[1].eval();
  const std::vector<float> before = net.state_dict().at("norm.running_mean").to_vector<float>();
  count_model(net, Variable(Tensor::ones({1, 2, 8, 8})));
  EXPECT_TRUE(net.training());
  EXPECT_TRUE(net[0].training());
  EXPECT_FALSE(net[1].training());
  EXPECT_EQ(net.state_dict().at("norm.running_mean").to_vector<float>(), before);
}

}  // namespace
}  // namespace espalier::nn
