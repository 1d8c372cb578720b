// SPDX-License-Identifier: Apache-2.0
// Layers with unusual options in a plan: computed as the layer does, or refused by name.
#include <espalier/autograd/ops.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/plan/plan.h>

#include "support.h"

namespace espalier::nn {
namespace {

Tensor logits(Module& model, const Tensor& x) {
  model.eval();
  const NoGrad no_grad;
  return model(Variable(x)).value().to(Layout::Nchw);
}

TEST(Plan, RunsPoolsOfAnyWindow) {
  const std::vector<PoolOptions> most = {
      {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}},
      {.kernel = 2, .stride = 2, .dilation = {1, 3}, .ceil_mode = true},
      {.kernel = 2, .ceil_mode = true},
  };
  const std::vector<PoolOptions> means = {
      {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}},
      {.kernel = 3, .stride = 2, .padding = 1, .ceil_mode = true},
      {.kernel = 3, .stride = 2, .padding = 1, .ceil_mode = true, .count_include_pad = false},
      {.kernel = {1, 2}, .stride = {2, 1}},
  };
  const espalier::testing::TemporaryFolder folder;
  const auto check = [&](Module& net) {
    for (const int64_t n : {2, 17}) {  // planes, and lanes
      const Tensor x = random_tensor({n, 3, 8, 7}, 5);
      const InferencePlan plan = compile(net, Variable(x));
      EXPECT_LT(max_difference(logits(net, x), plan.run(x)), 1e-6) << net.describe();
      const auto path = folder.path() / "plan.safetensors";
      plan.save(path);
      EXPECT_EQ(max_difference(InferencePlan::load(path).run(x), plan.run(x)), 0.0);
    }
  };
  for (const PoolOptions& options : most) {
    MaxPool2d pool(options);
    check(pool);
  }
  for (const PoolOptions& options : means) {
    AvgPool2d pool(options);
    check(pool);
  }
}

TEST(Plan, FoldsABatchNormThatIsNotAffine) {
  Sequential net;
  net.add("conv", Conv2d({.in_channels = 3, .out_channels = 4, .padding = 1}));
  net.add("norm", BatchNorm2d({.channels = 4, .relu = true, .affine = false}));
  init_parameters(net, 2);
  BatchNorm& norm = dynamic_cast<BatchNorm&>(net[1]);
  norm.running_mean.fill_(0.25);
  norm.running_var.fill_(4.0);
  const Tensor x = random_tensor({2, 3, 6, 5}, 5);
  const InferencePlan plan = compile(net, Variable(x));
  EXPECT_EQ(plan.steps().size(), 1u);
  EXPECT_LT(max_difference(logits(net, x), plan.run(x)), 1e-5);
}

TEST(Plan, NamesALayerThatItCannotRun) {
  Sequential net;
  net.add("up", ConvTranspose2d({.in_channels = 1, .out_channels = 1}));
  const std::string text = message_of<NotImplemented>([&] {
    compile(net, Variable(Tensor::zeros({1, 1, 4, 4})));
  });
  EXPECT_NE(text.find("'conv_transpose2d'"), std::string::npos) << text;
  EXPECT_NE(text.find("'up'"), std::string::npos) << text;
}

}  // namespace
}  // namespace espalier::nn
