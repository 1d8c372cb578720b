// SPDX-License-Identifier: Apache-2.0
// Every layer gives the same numbers, and the same gradients, whatever the layout and the batch
// size.
#include <espalier/autograd/ops.h>

#include "layer_cases.h"

namespace espalier::nn {
namespace {

Shape with_batch(int64_t n, const Shape& sample) {
  return sample.inserted(0, n);
}

// Output, gradient of the input, and state and gradients of the module after one pass.
struct Pass {
  Tensor output;
  Tensor input_gradient;
  std::map<std::string, Tensor> module;
};

Pass run(Module& layer, const Tensor& x, Layout layout) {
  Variable input(x.to(layout), true);
  const Variable y = layer(input);
  Pass pass{.output = y.value(), .input_gradient = {}, .module = {}};
  const Tensor weights = random_tensor(y.shape(), 11);
  sum(to_layout(y, Layout::Nchw) * Variable(weights)).backward();
  pass.input_gradient = input.grad().value();
  pass.module = deep_copy(layer.state_dict());
  for (const NamedParameter& p : layer.named_parameters()) {
    pass.module[p.name + ".gradient"] = p.parameter->value.grad().value();
  }
  return pass;
}

void expect_zero_padding(const Tensor& tensor, const std::string& what) {
  if (tensor.layout() != Layout::Nchw16n) return;
  const int64_t n = tensor.size(0);
  const Tensor physical = tensor.physical();
  const std::vector<float> all = physical.to_vector<float>();
  const int64_t per_block = physical.numel() / std::max<int64_t>(1, physical.size(0));
  for (int64_t i = 0; i < physical.numel(); ++i) {
    const int64_t sample = i / per_block * kLanes + i % kLanes;
    if (sample >= n) {
      ASSERT_EQ(all[static_cast<size_t>(i)], 0.0f) << what << " padding at " << i;
    }
  }
}

class EachLayer : public ::testing::TestWithParam<LayerCase> {};

INSTANTIATE_TEST_SUITE_P(, EachLayer, ::testing::ValuesIn(layer_cases()), [](const auto& info) {
  return info.param.name;
});

TEST_P(EachLayer, AgreesInBothLayoutsAtAnyBatchSize) {
  const LayerCase& c = GetParam();
  for (const int64_t n : {1, 15, 16, 17}) {
    for (const bool training : {true, false}) {
      const std::string what = cat(c.name, ", batch ", n, training ? ", training" : ", eval");
      if (training && n == 1 && c.name == "BatchNormOfVectors") continue;  // nothing to average
      const std::unique_ptr<Module> plain = c.make();
      init_parameters(*plain, 3);
      plain->train(training);
      const std::unique_ptr<Module> lanes = plain->clone();
      const Tensor x = random_tensor(with_batch(n, c.sample), 5);
      const Pass a = run(*plain, x, Layout::Nchw);
      const Pass b = run(*lanes, x, Layout::Nchw16n);
      EXPECT_LT(max_difference(a.output, b.output), 1e-5) << what;
      EXPECT_LT(max_difference(a.input_gradient, b.input_gradient), 1e-4) << what;
      expect_zero_padding(b.output, what);
      ASSERT_EQ(a.module.size(), b.module.size()) << what;
      for (const auto& [name, tensor] : a.module) {
        EXPECT_LT(max_difference(tensor, b.module.at(name)), 2e-4) << what << " " << name;
      }
    }
  }
}

TEST_P(EachLayer, GivesASampleItsOutputWhateverItsBatch) {
  const LayerCase& c = GetParam();
  const std::unique_ptr<Module> layer = c.make();
  init_parameters(*layer, 3);
  layer->eval();
  const NoGrad no_grad;
  const Tensor x = random_tensor(with_batch(17, c.sample), 5);
  const Tensor whole = (*layer)(Variable(x.to(Layout::Nchw16n))).value().to(Layout::Nchw);
  const Tensor last = (*layer)(Variable(x.slice(0, 16, 17).contiguous())).value();
  EXPECT_LT(max_difference(whole.slice(0, 16, 17), last), 1e-5) << c.name;
}

TEST_P(EachLayer, IsDescribedAndCloned) {
  const LayerCase& c = GetParam();
  const std::unique_ptr<Module> layer = c.make();
  EXPECT_FALSE(layer->describe().empty());
  EXPECT_EQ(layer->clone()->describe(), layer->describe());
  EXPECT_EQ(snapshot(layer->clone()->state_dict()), snapshot(layer->state_dict())) << c.name;
}

TEST_P(EachLayer, CouplesMembersAndDimensionsThatExist) {
  const LayerCase& c = GetParam();
  const std::unique_ptr<Module> layer = c.make();
  const auto state = layer->state_dict();
  const ChannelCoupling coupling = layer->channel_coupling();
  for (const auto* side : {&coupling.in, &coupling.out}) {
    for (const ChannelSlice& slice : *side) {
      ASSERT_TRUE(state.contains(slice.name)) << c.name << " " << slice.name;
      EXPECT_LT(slice.dim, state.at(slice.name).rank()) << c.name;
    }
  }
}

TEST(Layers, WrongSizesAreNamed) {
  EXPECT_THROW(Linear({.in = 0, .out = 2}), ValueError);
  EXPECT_THROW(Conv2d({.in_channels = 3, .out_channels = 4, .groups = 2}), ValueError);
  EXPECT_THROW(Conv2d({.in_channels = 3, .out_channels = 4, .padding = -1}), ValueError);
  EXPECT_THROW(BatchNorm2d({}), ValueError);
  EXPECT_THROW(LayerNorm({}), ValueError);
  EXPECT_THROW(GroupNorm({.groups = 2, .channels = 3}), ValueError);
  EXPECT_THROW(Embedding({.count = 0, .dim = 2}), ValueError);
  EXPECT_THROW(MultiheadAttention({.dim = 6, .heads = 4}), ValueError);
  EXPECT_THROW(Lstm({.in = 2}), ValueError);
  EXPECT_THROW(Gru({.in = 2}), ValueError);
  EXPECT_THROW(Conv1d({.in_channels = 3, .out_channels = 4, .groups = 2}), ValueError);
  EXPECT_THROW(Conv1d({.in_channels = 3, .out_channels = 4, .kernel = 0}), ValueError);
  EXPECT_THROW(ConvTranspose2d({.in_channels = 3, .out_channels = 4, .output_padding = 1}),
               ValueError);
  EXPECT_THROW(ConvTranspose2d({.in_channels = 3, .out_channels = 4, .groups = 2}), ValueError);
  EXPECT_THROW(Dropout(1.0), ValueError);
  EXPECT_THROW(Residual({}), ValueError);
  BatchNorm2d norm({.channels = 3});
  EXPECT_THROW(norm(Variable(Tensor::ones({2, 3}))), ShapeError);
  Conv1d sequences({.in_channels = 3, .out_channels = 4});
  EXPECT_THROW(sequences(Variable(Tensor::ones({2, 3}))), ShapeError);
  EXPECT_THROW(sequences(Variable(Tensor::ones({2, 4, 5}))), ShapeError);
  Gru gru({.in = 3, .hidden = 2});
  EXPECT_THROW(gru(Variable(Tensor::ones({2, 4, 2}))), ShapeError);
  EXPECT_THROW(gru.run(Variable(Tensor::ones({2, 4, 3})), Variable(Tensor::ones({1, 1, 2}))),
               ShapeError);
}

TEST(Layers, DropoutDropsItsShareInTrainingOnly) {
  Dropout layer(0.25);
  const Variable x(Tensor::ones({100, 100}));
  const std::vector<double> y = values(layer(x).value());
  int64_t dropped = 0;
  for (const double v : y) {
    if (v == 0.0) {
      ++dropped;
    } else {
      EXPECT_NEAR(v, 1.0 / 0.75, 1e-6);
    }
  }
  EXPECT_NEAR(static_cast<double>(dropped), 2500.0, 5 * std::sqrt(10000 * 0.25 * 0.75));
  EXPECT_NE(values(layer(x).value()), y);
  layer.eval();
  EXPECT_EQ(values(layer(x).value()), values(x.value()));
}

TEST(Layers, BatchNormMovesItsStatisticsInTrainingOnly) {
  BatchNorm2d layer({.channels = 1, .momentum = 0.5});
  // Mean 3; variance with n-1: (4+0+4) / 2 = 4 for values 1, 3, 5.
  const Variable x(Tensor::from<float>({3, 1, 1, 1}, {1, 3, 5}));
  layer(x);
  EXPECT_NEAR(layer.running_mean.item(), 1.5, 1e-6);
  EXPECT_NEAR(layer.running_var.item(), 2.5, 1e-6);
  layer.eval();
  const Variable y = layer(x);
  EXPECT_NEAR(layer.running_mean.item(), 1.5, 1e-6);
  EXPECT_NEAR(y.value().at({0, 0, 0, 0}), (1 - 1.5) / std::sqrt(2.5 + 1e-5), 1e-5);
}

TEST(Layers, MaskedWeightsOfNewLayersGetNoGradientAndDoNotMove) {
  for (const auto& make : {make_masked_conv1d, make_masked_transpose}) {
    const std::unique_ptr<Module> layer = make();
    init_parameters(*layer, 3);
    const bool planes = layer->parameter("weight").shape().rank() == 4;
    const Tensor x = random_tensor(planes ? Shape{2, 3, 7, 5} : Shape{2, 3, 7}, 5);
    const std::vector<double> mask = values(layer->parameter("weight").mask());
    const auto pass = [&](sparse::GradRequest request) {
      Parameter& weight = layer->parameter("weight");
      weight.grad_request = request;
      layer->zero_grad();
      const Variable y = (*layer)(Variable(x));
      sum(y * Variable(random_tensor(y.shape(), 11))).backward();
      return values(weight.value.grad().value());
    };
    const std::vector<double> masked = pass(sparse::GradRequest::Masked);
    const std::vector<double> dense = pass(sparse::GradRequest::Dense);
    double hidden = 0.0;
    for (size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] != 0.0) {
        EXPECT_NEAR(masked[i], dense[i], 1e-4) << i;
      } else {
        EXPECT_EQ(masked[i], 0.0) << i;
        hidden += std::abs(dense[i]);
      }
    }
    EXPECT_GT(hidden, 0.1) << "a dense gradient shows what regrowth looks at";
    // A new mask is taken up.
    Parameter& weight = layer->parameter("weight");
    weight.set_mask(Tensor::zeros(weight.shape(), DType::U8));
    const Tensor bias = layer->parameter("bias").value.value();
    const Tensor y = (*layer)(Variable(x)).value();
    EXPECT_NEAR(values(y)[0], values(bias)[0], 1e-6);
  }
}

TEST(Layers, EmbeddingLooksUpRowsAndSumsTheirGradients) {
  Embedding table({.count = 3, .dim = 2});
  table.weight.value.value().copy_(Tensor::from<float>({3, 2}, {0, 1, 10, 11, 20, 21}));
  const Variable y = table(Variable(Tensor::from<int64_t>({1, 3}, {2, 0, 2})));
  EXPECT_EQ(y.shape(), (Shape{1, 3, 2}));
  EXPECT_EQ(values(y.value()), (std::vector<double>{20, 21, 0, 1, 20, 21}));
  sum(y).backward();
  EXPECT_EQ(values(table.weight.value.grad().value()), (std::vector<double>{1, 1, 0, 0, 2, 2}));
  EXPECT_THROW(table(Variable(Tensor::from<int64_t>({1}, {3}))), ValueError);
}

TEST(Layers, SizesFollowTheKeptChannels) {
  Conv2d conv({.in_channels = 4, .out_channels = 6, .groups = 2});
  EXPECT_EQ(conv.sizes_keeping({.in = {0, 2}, .out = {1, 2, 3, 5}}),
            (LayerSizes{{"in_channels", 2}, {"out_channels", 4}, {"groups", 2}}));
  EXPECT_EQ(conv.sizes_keeping({.in = {2, 3}, .out = {3, 4, 5}}),
            (LayerSizes{{"in_channels", 2}, {"out_channels", 3}, {"groups", 1}}));
  EXPECT_THROW(conv.sizes_keeping({.in = {0, 2}, .out = {0, 1, 3}}), ValueError);
  EXPECT_THROW(conv.sizes_keeping({.in = {4}, .out = {0}}), ValueError);
  conv.set_sizes({{"in_channels", 2}, {"out_channels", 4}});
  EXPECT_EQ(conv.weight.shape(), (Shape{4, 1, 3, 3}));
  EXPECT_EQ(conv.bias.shape(), (Shape{4}));
  EXPECT_THROW(conv.set_sizes({{"width", 2}}), ValueError);
  EXPECT_THROW(conv.set_sizes({{"in_channels", 3}}), ValueError);
  EXPECT_EQ(conv.options().in_channels, 2);
  ConvTranspose2d wider({.in_channels = 4, .out_channels = 6, .groups = 2});
  EXPECT_EQ(wider.weight.shape(), (Shape{4, 3, 3, 3}));
  EXPECT_EQ(wider.sizes_keeping({.in = {2, 3}, .out = {3, 4, 5}}),
            (LayerSizes{{"in_channels", 2}, {"out_channels", 3}, {"groups", 1}}));
  wider.set_sizes({{"in_channels", 2}, {"out_channels", 4}});
  EXPECT_EQ(wider.weight.shape(), (Shape{2, 2, 3, 3}));
  BatchNorm2d norm({.channels = 4});
  EXPECT_EQ(norm.sizes_keeping({.in = {1, 3}, .out = {1, 3}}), (LayerSizes{{"channels", 2}}));
  EXPECT_THROW(norm.sizes_keeping({.in = {1, 3}, .out = {1, 2}}), ValueError);
  norm.set_sizes({{"channels", 2}});
  EXPECT_EQ(norm.running_var.shape(), (Shape{2}));
}

}  // namespace
}  // namespace espalier::nn
