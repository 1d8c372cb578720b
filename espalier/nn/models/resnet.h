// SPDX-License-Identifier: Apache-2.0
/// Residual networks: the three-stage ones of the paper's CIFAR section (ResNet-20 .. 110) and the
/// four-stage ones (ResNet-18, 34, 50), for small images with a 3x3 stem and no first pool, or with
/// the paper's stem for large ones. Source: He et al., arXiv:1512.03385; the stride of a bottleneck
/// is in its 3x3 convolution, as in torchvision's (the paper's is in the first 1x1).
#pragma once

#include <vector>

#include <espalier/nn/forms/block_form.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/models/options.h>

namespace espalier::nn::models {

/// relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut(x)), both convolutions 3x3, the first with the
/// stride. A projection is named `downsample` (`downsample.0` 1x1 convolution, `downsample.1` batch
/// norm).
class BasicBlock : public Module, public FormedBlock {
 public:
  /// Output channels per `channels` of the description.
  static constexpr int64_t kExpansion = 1;
  /// `in` channels to `channels`, the first convolution with `stride`.
  BasicBlock(int64_t in, int64_t channels, int64_t stride, Shortcut shortcut);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "BasicBlock"; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<BasicBlock>(*this);
  }

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
  std::shared_ptr<Module> downsample_;
};

/// 1x1 to `channels`, 3x3 with the stride, 1x1 to four times as many; as BasicBlock otherwise.
class Bottleneck : public Module, public FormedBlock {
 public:
  static constexpr int64_t kExpansion = 4;  ///< output channels for each inner one
  /// `in` channels to 4 * `channels`, the 3x3 convolution with `stride`.
  Bottleneck(int64_t in, int64_t channels, int64_t stride, Shortcut shortcut);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "Bottleneck"; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Bottleneck>(*this);
  }

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
  Conv2d conv3_;
  BatchNorm2d bn3_;
  std::shared_ptr<Module> downsample_;
};

/// What a residual network is made of.
struct ResNetPlan {
  bool bottleneck = false;             ///< blocks of three convolutions instead of two
  std::vector<int64_t> blocks = {};    ///< per stage
  std::vector<int64_t> channels = {};  ///< per stage; the stem has those of the first
  Shortcut shortcut = Shortcut::B;     ///< where the number of channels changes
  Stem stem = Stem::Small;             ///< what comes before the first stage
};

/// depth = 6n+2 with three stages of n blocks (16, 32, 64 channels times `width`).
/// Throws ValueError for another depth.
ResNetPlan cifar_resnet_plan(int depth, Shortcut shortcut, double width);
/// 18, 34 or 50, with four stages (64, 128, 256, 512 channels times `width`); ValueError otherwise.
ResNetPlan deep_resnet_plan(int depth, Stem stem, double width);

/// conv1 - bn1 - layer1 .. layerK - global mean - fc; of Stem::ImageNet with a max pool (3x3,
/// stride 2, padding 1) before layer1. Names as in torchvision.
class ResNet : public Module {
 public:
  /// `title` is what `describe` says.
  ResNet(std::string title, const ResNetPlan& plan, int64_t image_channels, int64_t classes);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return title_; }
  void reset_parameters(const InitRng& rng) override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<ResNet>(*this); }

 private:
  std::string title_;
  Stem stem_;
  Conv2d conv1_;
  BatchNorm2d bn1_;
  std::vector<Sequential> layers_;
  Linear fc_;
};

}  // namespace espalier::nn::models
