// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/wide_resnet.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/models/common.h>

namespace espalier::nn::models {

PreactBlock::PreactBlock(int64_t in, int64_t out, int64_t stride)
    : bn1_({.channels = in, .relu = true}),
      conv1_(conv3x3(in, out, stride)),
      bn2_({.channels = out, .relu = true}),
      conv2_(conv3x3(out, out)) {
  if (in != out || stride != 1) downsample_ = std::make_shared<Conv2d>(conv1x1(in, out, stride));
}

Variable PreactBlock::forward(const Variable& x) {
  const Variable y = bn1_(x);
  const auto branch = [this](const Variable& in) { return conv2_(bn2_(conv1_(in))); };
  const auto shortcut = [&] { return downsample_ ? (*downsample_)(y) : x; };
  if (form) return form->add_branch(y, shortcut(), branch);
  const Variable z = branch(y);
  return z + shortcut();
}

void PreactBlock::visit(MemberVisitor& visitor) {
  visitor.module("bn1", bn1_);
  visitor.module("conv1", conv1_);
  visitor.module("bn2", bn2_);
  visitor.module("conv2", conv2_);
  visitor.part("downsample", downsample_);
  if (form) visitor.part(form->member(), form);
}

WideResNet::WideResNet(int depth, int64_t k, int64_t image_channels, int64_t classes, double width)
    : title_(cat("WRN-", depth, "-", k)),
      conv1_(conv3x3(image_channels, scaled(16, width))),
      bn1_({.channels = scaled(64 * k, width), .relu = true}),
      fc_({.in = scaled(64 * k, width), .out = classes}) {
  ESPALIER_CHECK(depth >= 10 && (depth - 4) % 6 == 0 && k >= 1,
                 ValueError,
                 "wrn: expects depth 6n+4 (16, 22, 28, 40, ..) and a factor >= 1, got ",
                 depth,
                 " and ",
                 k);
  int64_t in = scaled(16, width);
  for (int stage = 0; stage < 3; ++stage) {
    const int64_t out = scaled((int64_t{16} << stage) * k, width);
    Sequential blocks;
    for (int i = 0; i < (depth - 4) / 6; ++i) {
      blocks.add(PreactBlock(in, out, stage > 0 && i == 0 ? 2 : 1));
      in = out;
    }
    layers_.push_back(std::move(blocks));
  }
}

Variable WideResNet::forward(const Variable& x) {
  Variable y = conv1_(x);
  for (Sequential& layer : layers_) y = layer(y);
  return fc_(flatten(adaptive_avg_pool2d(bn1_(y), 1, 1)));
}

void WideResNet::visit(MemberVisitor& visitor) {
  visitor.module("conv1", conv1_);
  for (size_t i = 0; i < layers_.size(); ++i) visitor.module(cat("layer", i + 1), layers_[i]);
  visitor.module("bn1", bn1_);
  visitor.module("fc", fc_);
}

void WideResNet::reset_parameters(const InitRng& rng) {
  kaiming_convolutions(*this, rng);
}

}  // namespace espalier::nn::models
