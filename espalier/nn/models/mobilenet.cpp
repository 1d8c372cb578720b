// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/mobilenet.h>

#include <algorithm>
#include <array>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/activations.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/flatten.h>
#include <espalier/nn/models/common.h>

namespace espalier::nn::models {
namespace {

Sequential norm_relu6(Conv2d conv) {
  const int64_t channels = conv.options().out_channels;
  return Sequential(std::move(conv), BatchNorm2d({.channels = channels}), ReLU6());
}

Conv2d depthwise3x3(int64_t channels, int64_t stride) {
  return Conv2d({.in_channels = channels,
                 .out_channels = channels,
                 .kernel = 3,
                 .stride = stride,
                 .padding = 1,
                 .groups = channels,
                 .bias = false});
}

/// A line of the paper's table 2.
struct Row {
  int64_t expansion, channels, blocks, stride;
};
constexpr std::array<Row, 7> kRows = {{{1, 16, 1, 1},
                                       {6, 24, 2, 2},
                                       {6, 32, 3, 2},
                                       {6, 64, 4, 2},
                                       {6, 96, 3, 1},
                                       {6, 160, 3, 2},
                                       {6, 320, 1, 1}}};
/// The row that keeps the size of small images, as their stem does.
constexpr size_t kKeepingRow = 1;

}  // namespace

InvertedResidual::InvertedResidual(const Options& options) : options_(options) {
  const int64_t hidden = options.in * options.expansion;
  if (options.expansion != 1) conv_.add(norm_relu6(conv1x1(options.in, hidden)));
  conv_.add(norm_relu6(depthwise3x3(hidden, options.stride)));
  conv_.add(conv1x1(hidden, options.out));
  conv_.add(BatchNorm2d({.channels = options.out}));
}

Variable InvertedResidual::forward(const Variable& x) {
  if (form) return form->add_branch(x, x, [this](const Variable& in) { return conv_(in); });
  const Variable y = conv_(x);
  return has_shortcut() ? x + y : y;
}

void InvertedResidual::visit(MemberVisitor& visitor) {
  visitor.module("conv", conv_);
  if (form) visitor.part(form->member(), form);
}

std::string InvertedResidual::describe() const {
  return cat(
      "InvertedResidual(", options_.in, ", ", options_.out, ", stride ", options_.stride, ")");
}

MobileNetV2::MobileNetV2(int64_t image_channels, int64_t classes, double width, Stem stem) {
  int64_t in = scaled(32, width);
  features_.add(norm_relu6(conv3x3(image_channels, in, stem == Stem::ImageNet ? 2 : 1)));
  for (size_t r = 0; r < kRows.size(); ++r) {
    const Row& row = kRows[r];
    const int64_t first = stem == Stem::Small && r == kKeepingRow ? 1 : row.stride;
    for (int64_t i = 0; i < row.blocks; ++i) {
      const int64_t out = scaled(row.channels, width);
      features_.add(InvertedResidual(
          {.in = in, .out = out, .stride = i == 0 ? first : 1, .expansion = row.expansion}));
      in = out;
    }
  }
  // The paper keeps 1280 features for widths below 1.
  const int64_t last = scaled(1280, std::max(1.0, width));
  features_.add(norm_relu6(conv1x1(in, last)));
  classifier_.add(Identity());
  classifier_.add(Linear({.in = last, .out = classes}));
}

Variable MobileNetV2::forward(const Variable& x) {
  return classifier_(flatten(adaptive_avg_pool2d(features_(x), 1, 1)));
}

void MobileNetV2::visit(MemberVisitor& visitor) {
  visitor.module("features", features_);
  visitor.module("classifier", classifier_);
}

void MobileNetV2::reset_parameters(const InitRng& rng) {
  kaiming_convolutions(*this, rng);
}

}  // namespace espalier::nn::models
