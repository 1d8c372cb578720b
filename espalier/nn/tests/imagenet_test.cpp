// SPDX-License-Identifier: Apache-2.0
// ImageNet's networks, narrow and on small images: what runs a network does so behind their stems.
#include <espalier/autograd/ops.h>
#include <espalier/data/resized.h>
#include <espalier/data/synth.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/explain.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/quantize/quantize.h>

#include "plan_support.h"

namespace espalier::nn {
namespace {

// Float32, over fifty layers.
constexpr double kTolerance = 2e-4;

class ImageNetStem : public testing::TestWithParam<std::string> {
 protected:
  const ModelOptions options{.image = {3, 64, 64}, .width = 0.125, .stem = Stem::ImageNet};
  std::unique_ptr<Module> model = make_model(GetParam(), options);

  Tensor evaluated(const Tensor& x) {
    const NoGrad no_grad;
    model->eval();
    return (*model)(Variable(x)).value();
  }
};

TEST_P(ImageNetStem, HalvesTheSidesFiveTimes) {
  const ModelOptions uneven{.image = {3, 75, 64}, .width = 0.125, .stem = Stem::ImageNet};
  // Of 64 by 75 rows 2 by 3 are left, as of torchvision's: ceil(n/2) five times.
  const auto net = make_model(GetParam(), uneven);
  const ModelCount count = count_model(*net, example_input(GetParam(), uneven));
  const Shape& last = count.layers[count.layers.size() - 2].output;
  EXPECT_EQ(last, (Shape{last[0], last[1], 3, 2}));
}

TEST_P(ImageNetStem, APlanComputesWhatTheModuleDoes) {
  disturb_batch_norms(*model);
  for (const double sparsity : {0.0, 0.9}) {
    if (sparsity > 0.0) mask_randomly(*model, sparsity);
    for (const PlanFormat format : {PlanFormat::Dense, PlanFormat::Auto, PlanFormat::Sparse}) {
      for (const int64_t batch : {1, 3, 18}) {
        const Tensor x = random_tensor({batch, 3, 64, 64}, 2);
        const InferencePlan plan =
            compile(*model, example_input(GetParam(), options), {.batch = batch, .format = format});
        const Tensor expected = evaluated(x);
        const double largest = max_difference(expected, Tensor::zeros_like(expected));
        EXPECT_LT(max_difference(expected, plan.run(x)), kTolerance * std::max(1.0, largest))
            << sparsity << " " << batch;
      }
    }
  }
}

TEST_P(ImageNetStem, LanesAndPlanesAgree) {
  disturb_batch_norms(*model);
  mask_randomly(*model, 0.9);
  const Tensor x = random_tensor({17, 3, 64, 64}, 2);
  const Tensor expected = evaluated(x);
  const double largest = max_difference(expected, Tensor::zeros_like(expected));
  EXPECT_LT(max_difference(expected, evaluated(x.to(Layout::Nchw16n))),
            kTolerance * std::max(1.0, largest));
}

TEST_P(ImageNetStem, MaskedLayersRunSparselyInBothPasses) {
  mask_randomly(*model, 0.9);
  const Variable x(random_tensor({16, 3, 64, 64}, 2).to(Layout::Nchw16n));
  int strided = 0;
  int pointwise = 0;
  for (const LayerExplanation& layer : explain(*model, x)) {
    const bool grouped = layer.forward.choice.reason.find("group") != std::string::npos;
    if (grouped) continue;  // depthwise layers have no sparse kernel
    EXPECT_TRUE(layer.forward.choice.sparse) << layer.name << ": " << layer.forward.choice.reason;
    EXPECT_TRUE(layer.backward.choice.sparse) << layer.name << ": " << layer.backward.choice.reason;
    strided += layer.kind.find("stride 2") != std::string::npos ? 1 : 0;
    pointwise += layer.kind.find("kernel 1") != std::string::npos ? 1 : 0;
  }
  EXPECT_GE(strided, 1);
  EXPECT_GE(pointwise, 3);
}

TEST_P(ImageNetStem, EightBitsComputeWhatTheirRoundedGraphDoes) {
  disturb_batch_norms(*model);
  mask_randomly(*model, 0.5);
  EXPECT_TRUE(attach_quantizers(*model).empty());
  data::Loader loader(data::resized(data::make_synth(data::Split::Train, 1, 32), 64),
                      {.batch_size = 16, .seed = 1, .workers = 0});
  calibrate(*model, loader, {});
  const Tensor x = random_tensor({18, 3, 64, 64}, 4);
  model->eval();
  const Tensor rounded = (*model)(Variable(x)).value();  // recording: float32 ops
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const Tensor integers = evaluated(x.to(layout));
    const double largest = max_difference(rounded, Tensor::zeros_like(rounded));
    EXPECT_LT(max_difference(integers, rounded), 1e-2 * std::max(1.0, largest));
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo,
                         ImageNetStem,
                         ::testing::Values("resnet18", "resnet34", "resnet50", "mobilenetv2"));

}  // namespace
}  // namespace espalier::nn
