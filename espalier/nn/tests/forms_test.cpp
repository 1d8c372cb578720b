// SPDX-License-Identifier: Apache-2.0
// What layers with forms compute, skip and give to gradients.
#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/nn/forms/straight_through.h>
#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/quantize/layer_quantizer.h>
#include <espalier/nn/tests/forms_support.h>
#include <espalier/nn/tests/support.h>

namespace espalier::nn {
namespace {

constexpr double kKernelTolerance = 1e-4;  // of sums in another order

// Folded weights give the outputs of the form in evaluation, to the last bit, and have its mask.
TEST(Forms, FoldedWeightsComputeTheSame) {
  const Variable images(random_tensor({3, 8, 6, 6}, 1)), rows(random_tensor({3, 8}, 2));
  Conv2d conv({.in_channels = 8, .out_channels = 6, .padding = 1});
  Linear product({.in = 8, .out = 6});
  for (size_t kind = 0; kind < forms_for({2, 2}).size(); ++kind) {
    for (const bool convolution : {true, false}) {
      const auto net = (convolution ? static_cast<Module&>(conv) : product).clone();
      const FormSite site = form_sites(*net).front();
      site.set(forms_for(site.slot.parameter->shape())[kind]);
      const Variable& x = convolution ? images : rows;
      net->eval();
      const NoGrad no_grad;
      const std::vector<double> expected = values((*net)(x).value());
      const std::string name = site.form()->describe();
      fold_forms(*net);
      EXPECT_FALSE(has_forms(*net)) << name;
      EXPECT_EQ(values((*net)(x).value()), expected) << name;
      EXPECT_EQ(site.slot.parameter->nnz(), nonzero(site.slot.parameter->value.value())) << name;
      EXPECT_LT(site.slot.parameter->nnz(), site.slot.parameter->numel()) << name;
    }
  }
}

// A kernel skips what the form leaves out: executed MACs fall with the kept share.
TEST(Forms, ExecutedMacsFallWithTheKeptShare) {
  Conv2d conv({.in_channels = 32, .out_channels = 32, .padding = 1, .bias = false});
  auto form = std::make_shared<Supermask>(conv.weight.shape(), 0);
  conv.form = form;
  const Variable x(random_tensor({32, 32, 8, 8}, 1).to(Layout::Nchw16n));
  const int64_t positions = 32 * 8 * 8;
  for (const bool training : {true, false}) {
    conv.train(training);
    for (const int64_t kept : {100, 400, 921}) {
      form->keep(kept);
      const MacCounter counter;
      conv(x);
      EXPECT_EQ(counter.macs(), kept * positions) << training;
    }
  }
}

TEST(Forms, EveryGradientReachesItsPlace) {
  // Dense gradients under a sparse forward pass, in the lanes where sparse kernels run.
  Conv2d conv({.in_channels = 16, .out_channels = 16, .padding = 1, .bias = false});
  const Variable x(random_tensor({16, 16, 6, 6}, 1).to(Layout::Nchw16n));
  auto straight = std::make_shared<StraightThrough>(
      conv.weight.shape(), StraightThrough::Options{.pattern = {.keep = 1, .of = 8}, .decay = 0.0});
  conv.form = straight;
  const auto pattern = straight->chosen(conv.weight);
  sum(conv(x) * conv(x)).backward();
  const Tensor got = conv.weight.value.grad().value();
  // The reference: the masked weight as a dense one.
  Conv2d dense({.in_channels = 16, .out_channels = 16, .padding = 1, .bias = false});
  dense.weight.value.value().copy_(sparse::masked(conv.weight.value.value(), *pattern));
  sum(dense(x) * dense(x)).backward();
  const Tensor expected = dense.weight.value.grad().value();
  double largest = 0.0;
  for (const double g : values(expected)) largest = std::max(largest, std::abs(g));
  EXPECT_LT(max_difference(got, expected), kKernelTolerance * largest);
  EXPECT_EQ(nonzero(got), got.numel());
}

TEST(Forms, GradientsMayBeOfMoreWeightsThanTheProduct) {
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    Conv2d conv({.in_channels = 16, .out_channels = 16, .padding = 1, .bias = false});
    const Variable x(random_tensor({16, 16, 6, 6}, 1).to(layout), true);
    conv.form = std::make_shared<WiderBackward>(200, 500);
    sum(conv(x)).backward();
    const Tensor got = conv.weight.value.grad().value();
    EXPECT_EQ(nonzero(got), 500);
    Conv2d dense({.in_channels = 16, .out_channels = 16, .padding = 1, .bias = false});
    sum(dense(x)).backward();  // the gradient of a sum depends on x alone
    const Tensor mask = largest_mask(conv.weight.value.value(), 500);
    const Tensor expected =
        sparse::masked(dense.weight.value.grad().value(), sparse::Support(mask));
    EXPECT_LT(max_difference(got, expected), 1e-2);
  }
  Linear product({.in = 32, .out = 32, .bias = false});
  product.form = std::make_shared<WiderBackward>(100, 300);
  sum(product(Variable(random_tensor({16, 32}, 2).to(Layout::Nchw16n), true))).backward();
  EXPECT_EQ(nonzero(product.weight.value.grad().value()), 300);
}

// Whatever a layer does with its weight, it does with the form's.
TEST(Forms, AllLayersMultiplyWithTheirForms) {
  std::vector<std::pair<std::unique_ptr<Module>, Tensor>> layers;
  layers.emplace_back(
      std::make_unique<Conv1d>(Conv1d::Options{.in_channels = 4, .out_channels = 6}),
      random_tensor({2, 4, 9}, 1));
  layers.emplace_back(std::make_unique<ConvTranspose2d>(
                          ConvTranspose2d::Options{.in_channels = 4, .out_channels = 6}),
                      random_tensor({2, 4, 5, 5}, 1));
  layers.emplace_back(
      std::make_unique<MultiheadAttention>(MultiheadAttention::Options{.dim = 8, .heads = 2}),
      random_tensor({2, 5, 8}, 1));
  layers.emplace_back(std::make_unique<Lstm>(Lstm::Options{.in = 4, .hidden = 6, .layers = 2}),
                      random_tensor({2, 5, 4}, 1));
  layers.emplace_back(std::make_unique<Gru>(Gru::Options{.in = 4, .hidden = 6, .layers = 2}),
                      random_tensor({2, 5, 4}, 1));
  for (const auto& [layer, x] : layers) {
    const std::vector<FormSite> sites = form_sites(*layer);
    ASSERT_FALSE(sites.empty()) << layer->describe();
    for (const FormSite& site : sites) {
      const Shape& shape = site.slot.parameter->shape();
      if (!site.slot.whole) {
        EXPECT_THROW(site.set(std::make_shared<LayerQuantizer>()), NotImplemented) << site.weight;
      }
      site.set(std::make_shared<Supermask>(shape, shape.numel() / 3));
    }
    layer->eval();
    const Variable y = (*layer)(Variable(x));
    sum(y * y).backward();
    for (const FormSite& site : sites) {
      auto& form = dynamic_cast<Supermask&>(*site.form());
      EXPECT_EQ(nonzero(form.scores.value.grad().value()), form.scores.numel()) << site.weight;
    }
    const std::vector<double> formed = values(y.value());
    fold_forms(*layer);
    EXPECT_EQ(values((*layer)(Variable(x)).value()), formed) << layer->describe();
  }
}

}  // namespace
}  // namespace espalier::nn
