// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/vgg.h>

#include <map>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/activations.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/flatten.h>
#include <espalier/nn/layers/pooling.h>
#include <espalier/nn/models/common.h>

namespace espalier::nn::models {
namespace {

constexpr int64_t kPool = 0;

/// Output channels in order; kPool stands for a 2x2 max pool.
const std::vector<int64_t>& vgg_plan(int depth) {
  static const std::map<int, std::vector<int64_t>> plans = {
      {11, {64, kPool, 128, kPool, 256, 256, kPool, 512, 512, kPool, 512, 512, kPool}},
      {13, {64, 64, kPool, 128, 128, kPool, 256, 256, kPool, 512, 512, kPool, 512, 512, kPool}},
      {16,
       {64,
        64,
        kPool,
        128,
        128,
        kPool,
        256,
        256,
        256,
        kPool,
        512,
        512,
        512,
        kPool,
        512,
        512,
        512,
        kPool}},
      {19, {64,  64,  kPool, 128, 128,   kPool, 256, 256, 256, 256,  kPool,
            512, 512, 512,   512, kPool, 512,   512, 512, 512, kPool}}};
  const auto found = plans.find(depth);
  ESPALIER_CHECK(
      found != plans.end(), ValueError, "vgg: expects depth 11, 13, 16 or 19, got ", depth);
  return found->second;
}

}  // namespace

Vgg::Vgg(int depth, const data::ImageShape& image, int64_t classes, double width)
    : depth_(depth), classifier_({.in = scaled(512, width), .out = classes}) {
  int64_t channels = image.channels;
  int64_t height = image.height;
  int64_t side_w = image.width;
  for (const int64_t step : vgg_plan(depth)) {
    if (step == kPool) {
      if (height >= 2 && side_w >= 2) {
        features_.add(MaxPool2d({.kernel = 2}));
        height /= 2;
        side_w /= 2;
      } else {
        features_.add(Identity());
      }
      continue;
    }
    const int64_t out = scaled(step, width);
    features_.add(conv3x3(channels, out));
    features_.add(BatchNorm2d({.channels = out, .relu = true}));
    features_.add(Identity());
    channels = out;
  }
}

Variable Vgg::forward(const Variable& x) {
  return classifier_(flatten(adaptive_avg_pool2d(features_(x), 1, 1)));
}

void Vgg::visit(MemberVisitor& visitor) {
  visitor.module("features", features_);
  visitor.module("classifier", classifier_);
}

std::string Vgg::describe() const {
  return cat("VGG-", depth_, "-BN");
}

void Vgg::reset_parameters(const InitRng& rng) {
  kaiming_convolutions(*this, rng);
}

ConvStack::ConvStack(int depth, const data::ImageShape& image, int64_t classes) : depth_(depth) {
  ESPALIER_CHECK(depth == 2 || depth == 4 || depth == 6,
                 ValueError,
                 "conv stack: expects depth 2, 4 or 6, got ",
                 depth);
  const int pairs = depth / 2;
  check_image(cat("conv", depth), image.height, image.width, int64_t{1} << pairs);
  int64_t channels = image.channels;
  for (int pair = 0; pair < pairs; ++pair) {
    const int64_t out = int64_t{64} << pair;
    for (int i = 0; i < 2; ++i) {
      features_.add(
          Conv2d({.in_channels = channels, .out_channels = out, .kernel = 3, .padding = 1}));
      features_.add(ReLU());
      channels = out;
    }
    features_.add(MaxPool2d({.kernel = 2}));
  }
  const int64_t pixels = (image.height >> pairs) * (image.width >> pairs);
  classifier_.add(Linear({.in = channels * pixels, .out = 256}));
  classifier_.add(ReLU());
  classifier_.add(Linear({.in = 256, .out = 256}));
  classifier_.add(ReLU());
  classifier_.add(Linear({.in = 256, .out = classes}));
}

Variable ConvStack::forward(const Variable& x) {
  return classifier_(flatten(features_(x)));
}

void ConvStack::visit(MemberVisitor& visitor) {
  visitor.module("features", features_);
  visitor.module("classifier", classifier_);
}

std::string ConvStack::describe() const {
  return cat("Conv-", depth_);
}

}  // namespace espalier::nn::models
