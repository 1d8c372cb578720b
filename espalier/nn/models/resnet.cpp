// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/resnet.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/models/common.h>
#include <espalier/nn/models/pad_shortcut.h>

namespace espalier::nn::models {
namespace {

/// Null where the input fits as it is.
std::shared_ptr<Module> make_shortcut(int64_t in, int64_t out, int64_t stride, Shortcut kind) {
  if (in == out && stride == 1) return nullptr;
  if (kind == Shortcut::A) {
    return std::make_shared<PadShortcut>(PadShortcut::widening(in, out, stride));
  }
  return std::make_shared<Sequential>(conv1x1(in, out, stride), BatchNorm2d({.channels = out}));
}

Variable pass(const std::shared_ptr<Module>& shortcut, const Variable& x) {
  return shortcut ? (*shortcut)(x) : x;
}

template <class Block>
Sequential make_stage(int64_t in, int64_t channels, int64_t blocks, int64_t stride, Shortcut kind) {
  Sequential stage;
  for (int64_t i = 0; i < blocks; ++i) {
    stage.add(
        Block(i == 0 ? in : channels * Block::kExpansion, channels, i == 0 ? stride : 1, kind));
  }
  return stage;
}

Conv2d make_stem(int64_t in, const ResNetPlan& plan) {
  const int64_t out = plan.channels.front();
  if (plan.stem == Stem::Small) return conv3x3(in, out);
  return Conv2d({.in_channels = in,
                 .out_channels = out,
                 .kernel = 7,
                 .stride = 2,
                 .padding = 3,
                 .bias = false});
}

int64_t out_channels(const ResNetPlan& plan) {
  return plan.channels.back() * (plan.bottleneck ? Bottleneck::kExpansion : BasicBlock::kExpansion);
}

}  // namespace

BasicBlock::BasicBlock(int64_t in, int64_t channels, int64_t stride, Shortcut shortcut)
    : conv1_(conv3x3(in, channels, stride)),
      bn1_({.channels = channels, .relu = true}),
      conv2_(conv3x3(channels, channels)),
      bn2_({.channels = channels}),
      downsample_(make_shortcut(in, channels, stride, shortcut)) {}

Variable BasicBlock::forward(const Variable& x) {
  const auto sums = [this](const Variable& in) { return conv2_(bn1_(conv1_(in))); };
  if (form) {
    const auto branch = [&](const Variable& in) { return bn2_(sums(in)); };
    return relu(form->add_branch(x, pass(downsample_, x), branch));
  }
  const Variable y = sums(x);
  return bn2_.add_relu(y, pass(downsample_, x));
}

void BasicBlock::visit(MemberVisitor& visitor) {
  visitor.module("conv1", conv1_);
  visitor.module("bn1", bn1_);
  visitor.module("conv2", conv2_);
  visitor.module("bn2", bn2_);
  visitor.part("downsample", downsample_);
  if (form) visitor.part(form->member(), form);
}

Bottleneck::Bottleneck(int64_t in, int64_t channels, int64_t stride, Shortcut shortcut)
    : conv1_(conv1x1(in, channels)),
      bn1_({.channels = channels, .relu = true}),
      conv2_(conv3x3(channels, channels, stride)),
      bn2_({.channels = channels, .relu = true}),
      conv3_(conv1x1(channels, channels * kExpansion)),
      bn3_({.channels = channels * kExpansion}),
      downsample_(make_shortcut(in, channels * kExpansion, stride, shortcut)) {}

Variable Bottleneck::forward(const Variable& x) {
  const auto sums = [this](const Variable& in) { return conv3_(bn2_(conv2_(bn1_(conv1_(in))))); };
  if (form) {
    const auto branch = [&](const Variable& in) { return bn3_(sums(in)); };
    return relu(form->add_branch(x, pass(downsample_, x), branch));
  }
  const Variable y = sums(x);
  return bn3_.add_relu(y, pass(downsample_, x));
}

void Bottleneck::visit(MemberVisitor& visitor) {
  visitor.module("conv1", conv1_);
  visitor.module("bn1", bn1_);
  visitor.module("conv2", conv2_);
  visitor.module("bn2", bn2_);
  visitor.module("conv3", conv3_);
  visitor.module("bn3", bn3_);
  visitor.part("downsample", downsample_);
  if (form) visitor.part(form->member(), form);
}

ResNetPlan cifar_resnet_plan(int depth, Shortcut shortcut, double width) {
  ESPALIER_CHECK(depth >= 8 && (depth - 2) % 6 == 0,
                 ValueError,
                 "resnet: expects depth 6n+2 (20, 32, 44, 56, 110, ..), got ",
                 depth);
  const int64_t n = (depth - 2) / 6;
  return {.blocks = {n, n, n},
          .channels = {scaled(16, width), scaled(32, width), scaled(64, width)},
          .shortcut = shortcut};
}

ResNetPlan deep_resnet_plan(int depth, Stem stem, double width) {
  ResNetPlan plan{
      .channels = {scaled(64, width), scaled(128, width), scaled(256, width), scaled(512, width)},
      .stem = stem};
  switch (depth) {
    case 18:
      plan.blocks = {2, 2, 2, 2};
      break;
    case 34:
      plan.blocks = {3, 4, 6, 3};
      break;
    case 50:
      plan.blocks = {3, 4, 6, 3};
      plan.bottleneck = true;
      break;
    default:
      throw ValueError(cat("resnet: expects depth 18, 34 or 50, got ", depth));
  }
  return plan;
}

ResNet::ResNet(std::string title, const ResNetPlan& plan, int64_t image_channels, int64_t classes)
    : title_(std::move(title)),
      stem_(plan.stem),
      conv1_(make_stem(image_channels, plan)),
      bn1_({.channels = plan.channels.front(), .relu = true}),
      fc_({.in = out_channels(plan), .out = classes}) {
  int64_t in = plan.channels.front();
  for (size_t i = 0; i < plan.blocks.size(); ++i) {
    const int64_t stride = i == 0 ? 1 : 2;
    const int64_t channels = plan.channels[i];
    if (plan.bottleneck) {
      layers_.push_back(
          make_stage<Bottleneck>(in, channels, plan.blocks[i], stride, plan.shortcut));
      in = channels * Bottleneck::kExpansion;
    } else {
      layers_.push_back(
          make_stage<BasicBlock>(in, channels, plan.blocks[i], stride, plan.shortcut));
      in = channels * BasicBlock::kExpansion;
    }
  }
}

Variable ResNet::forward(const Variable& x) {
  Variable y = bn1_(conv1_(x));
  if (stem_ == Stem::ImageNet) y = max_pool2d(y, {.kernel = 3, .stride = Pair(2), .padding = 1});
  for (Sequential& layer : layers_) y = layer(y);
  return fc_(flatten(adaptive_avg_pool2d(y, 1, 1)));
}

void ResNet::visit(MemberVisitor& visitor) {
  visitor.module("conv1", conv1_);
  visitor.module("bn1", bn1_);
  for (size_t i = 0; i < layers_.size(); ++i) visitor.module(cat("layer", i + 1), layers_[i]);
  visitor.module("fc", fc_);
}

void ResNet::reset_parameters(const InitRng& rng) {
  kaiming_convolutions(*this, rng);
}

}  // namespace espalier::nn::models
