// SPDX-License-Identifier: Apache-2.0
/// MobileNetV2 with the strides of 32x32 images, or with the paper's. Names as in torchvision.
/// Source: Sandler et al., arXiv:1801.04381, table 2.
#pragma once

#include <espalier/nn/forms/block_form.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/models/options.h>

namespace espalier::nn::models {

/// 1x1 expansion, 3x3 depthwise, 1x1 linear; added to the input when its shape stays. Layers in
/// `conv`: `0.0`/`0.1` expand and its norm (left out for expansion 1), then depthwise and its norm,
/// the linear convolution, its norm. ReLU6 after the first two norms.
class InvertedResidual : public Module, public FormedBlock {
 public:
  /// Sizes of the block.
  struct Options {
    int64_t in = 0;         ///< channels of the input
    int64_t out = 0;        ///< channels of the output
    int64_t stride = 1;     ///< of the depthwise convolution
    int64_t expansion = 6;  ///< inner channels for each input channel
  };
  /// Throws ValueError when a size is not positive.
  explicit InvertedResidual(const Options& options);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  bool has_shortcut() const override { return options_.stride == 1 && options_.in == options_.out; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<InvertedResidual>(*this);
  }

 private:
  Options options_;
  Sequential conv_;
};

/// `features.0` stem, `features.1` .. `.17` inverted residuals, `features.18` 1x1 to 1280, global
/// mean, `classifier.1` (`.0` is an empty slot, where torchvision has a dropout). The stem and the
/// second row have stride 2 for large images (five halvings), 1 for small ones (three).
class MobileNetV2 : public Module {
 public:
  /// `width` multiplies the channels of all layers but the last.
  MobileNetV2(int64_t image_channels, int64_t classes, double width, Stem stem);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "MobileNetV2"; }
  void reset_parameters(const InitRng& rng) override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<MobileNetV2>(*this);
  }

 private:
  Sequential features_;
  Sequential classifier_;
};

}  // namespace espalier::nn::models
