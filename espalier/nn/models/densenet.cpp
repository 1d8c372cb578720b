// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/densenet.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/pooling.h>
#include <espalier/nn/models/common.h>

namespace espalier::nn::models {
namespace {

/// relu(norm), 1x1 convolution to half of the channels, 2x2 mean pool.
Sequential transition(int64_t channels) {
  Sequential part;
  part.add("norm", BatchNorm2d({.channels = channels, .relu = true}));
  part.add("conv", conv1x1(channels, channels / 2));
  part.add("pool", AvgPool2d({.kernel = 2}));
  return part;
}

}  // namespace

DenseLayer::DenseLayer(int64_t in, int64_t growth)
    : norm1_({.channels = in, .relu = true}),
      conv1_(conv1x1(in, 4 * growth)),
      norm2_({.channels = 4 * growth, .relu = true}),
      conv2_(conv3x3(4 * growth, growth)) {}

Variable DenseLayer::forward(const Variable& x) {
  return concat({x, conv2_(norm2_(conv1_(norm1_(x))))}, 1);
}

void DenseLayer::visit(MemberVisitor& visitor) {
  visitor.module("norm1", norm1_);
  visitor.module("conv1", conv1_);
  visitor.module("norm2", norm2_);
  visitor.module("conv2", conv2_);
}

DenseNet::DenseNet(int depth, int64_t growth, int64_t image_channels, int64_t classes)
    : title_(cat("DenseNet-BC-", depth, "-", growth)) {
  ESPALIER_CHECK(depth >= 10 && (depth - 4) % 6 == 0 && growth >= 1,
                 ValueError,
                 "densenet-bc: expects depth 6n+4 (40, 100, 190, 250, ..) and growth >= 1, got ",
                 depth,
                 " and ",
                 growth);
  const int64_t layers = (depth - 4) / 6;
  int64_t channels = 2 * growth;
  features_.add("conv0", conv3x3(image_channels, channels));
  for (int block = 1; block <= 3; ++block) {
    Sequential dense;
    for (int64_t i = 1; i <= layers; ++i) {
      dense.add(cat("denselayer", i), DenseLayer(channels, growth));
      channels += growth;
    }
    features_.add(cat("denseblock", block), std::move(dense));
    if (block < 3) {
      features_.add(cat("transition", block), transition(channels));
      channels /= 2;
    }
  }
  features_.add("norm5", BatchNorm2d({.channels = channels, .relu = true}));
  classifier_ = std::make_shared<Linear>(Linear::Options{.in = channels, .out = classes});
}

Variable DenseNet::forward(const Variable& x) {
  return (*classifier_)(flatten(adaptive_avg_pool2d(features_(x), 1, 1)));
}

void DenseNet::visit(MemberVisitor& visitor) {
  visitor.module("features", features_);
  visitor.part("classifier", classifier_);
}

void DenseNet::reset_parameters(const InitRng& rng) {
  kaiming_convolutions(*this, rng);
}

}  // namespace espalier::nn::models
