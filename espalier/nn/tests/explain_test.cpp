// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/introspect/explain.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/plan/plan.h>

#include "support.h"

namespace espalier::nn {
namespace {

Tensor one_in_ten(const Shape& shape) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  for (int64_t i = 0; i < mask.numel(); i += 10) mask.data<uint8_t>()[i] = 1;
  return mask;
}

TEST(Explain, NamesEveryProductWithItsKernelTimesAndReason) {
  Conv2d masked({.in_channels = 4, .out_channels = 8, .kernel = 3, .padding = 1});
  masked.weight.set_mask(one_in_ten(masked.weight.shape()));
  Conv2d grouped({.in_channels = 8, .out_channels = 8, .kernel = 3, .padding = 1, .groups = 2});
  grouped.weight.set_mask(one_in_ten(grouped.weight.shape()));
  Linear last({.in = 8 * 6 * 6, .out = 10});
  last.weight.set_mask(one_in_ten(last.weight.shape()));
  Sequential net(Conv2d({.in_channels = 3, .out_channels = 4, .kernel = 3, .padding = 1}),
                 masked,
                 BatchNorm2d({.channels = 8}),
                 grouped,
                 Flatten(),
                 last);
  const Variable input(random_tensor({17, 3, 6, 6}, 1).to(Layout::Nchw16n));
  const std::vector<LayerExplanation> layers = explain(net, input);
  ASSERT_EQ(layers.size(), 4u);  // not the norm, not the flatten

  EXPECT_EQ(layers[0].name, "0");
  EXPECT_EQ(layers[0].density, 1.0);
  EXPECT_FALSE(layers[0].forward.choice.sparse);
  EXPECT_EQ(layers[0].forward.choice.reason, "no mask");
  EXPECT_EQ(layers[0].forward.times.sparse, 0.0);
  EXPECT_GT(layers[0].backward.times.dense, 0.0);

  EXPECT_EQ(layers[1].name, "1");
  EXPECT_EQ(layers[1].input, (Shape{17, 4, 6, 6}));
  EXPECT_NEAR(layers[1].density, 0.1, 0.01);
  EXPECT_TRUE(layers[1].forward.choice.sparse);
  EXPECT_GT(layers[1].forward.times.sparse, 0.0);
  EXPECT_EQ(layers[1].backward.milliseconds(), layers[1].backward.times.sparse);

  EXPECT_EQ(layers[2].name, "3");
  EXPECT_FALSE(layers[2].forward.choice.sparse);
  EXPECT_NE(layers[2].forward.choice.reason.find("group"), std::string::npos);
  EXPECT_EQ(layers[2].forward.times.sparse, 0.0);
  EXPECT_EQ(layers[2].forward.milliseconds(), layers[2].forward.times.dense);

  EXPECT_EQ(layers[3].name, "5");
  EXPECT_TRUE(layers[3].backward.choice.sparse);
}

TEST(Explain, APlanUnderRequireSparseCountsWhatItRunsAndNotItsTrace) {
  const Conv2d::Options options{.in_channels = 4, .out_channels = 4, .kernel = 3, .padding = 1};
  Conv2d excluded(options);
  excluded.weight.value.value().data<float>()[0] = 0.0f;  // a zero, and no mask
  Conv2d masked(options);
  masked.weight.set_mask(one_in_ten(masked.weight.shape()));
  Conv2d nearly_full(options);
  Tensor mask = Tensor::ones(nearly_full.weight.shape(), DType::U8);
  mask.data<uint8_t>()[5] = 0;
  nearly_full.weight.set_mask(mask);
  Sequential good(excluded, masked);
  Sequential bad(excluded, masked, nearly_full);
  Sequential grouped(masked,
                     Conv2d({.in_channels = 4, .out_channels = 4, .kernel = 3, .groups = 2}));
  Parameter& weight = grouped.parameter("1.weight");
  weight.set_mask(one_in_ten(weight.shape()));

  const Variable plain(random_tensor({1, 4, 6, 6}, 1));  // a layout without sparse kernels
  sparse::set_chooser_options({.require_sparse = true});
  EXPECT_EQ(compile(good, plain).steps()[1].format, "sparse");
  EXPECT_NO_THROW(explain(bad, plain));
  // 143 of 144 weights are left.
  testing::expect_error<ValueError>([&] { compile(bad, plain); },
                                    {"compile: layer '2' at density 0.99", "is above 0."});
  EXPECT_NO_THROW(compile(bad, plain, {.format = PlanFormat::Dense}));
  EXPECT_NO_THROW(compile(bad, plain, {.format = PlanFormat::Sparse}));
  testing::expect_error<ValueError>(
      [&] { compile(grouped, plain, {.format = PlanFormat::Sparse}); }, {"layer '1'", "group"});
  sparse::set_chooser_options({});
  EXPECT_NO_THROW(compile(bad, plain));
}

TEST(Layers, BatchNormAddsAndCutsInOnePassOrInThreeWhileTraced) {
  BatchNorm2d norm({.channels = 3});
  const Variable x(random_tensor({17, 3, 4, 5}, 1).to(Layout::Nchw16n));
  const Variable residual(random_tensor({17, 3, 4, 5}, 2).to(Layout::Nchw16n));
  const auto twin = norm.clone();
  const Variable fused = norm.add_relu(x, residual);
  const Variable apart = relu((*twin)(x) + residual);
  EXPECT_EQ(max_difference(fused.value(), apart.value()), 0.0);
  EXPECT_EQ(max_difference(norm.running_var, dynamic_cast<BatchNorm2d&>(*twin).running_var), 0.0);
  BatchNorm2d with_relu({.channels = 3, .relu = true});
  EXPECT_THROW(with_relu.add_relu(x, residual), ValueError);
}

}  // namespace
}  // namespace espalier::nn
