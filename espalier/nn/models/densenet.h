// SPDX-License-Identifier: Apache-2.0
/// DenseNet-BC for small images: three blocks whose layers see all earlier features, with
/// bottlenecks and halving transitions. Names as in torchvision
/// (`features.denseblock1.denselayer1.conv1`, ..). Source: Huang et al., arXiv:1608.06993,
/// section 3.
#pragma once

#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/sequential.h>

namespace espalier::nn::models {

/// concat(x, conv2(relu(norm2(conv1(relu(norm1 x)))))): 1x1 to 4*growth, 3x3 to growth channels.
class DenseLayer : public Module {
 public:
  /// `in` channels to `in` + `growth`.
  DenseLayer(int64_t in, int64_t growth);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "DenseLayer"; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<DenseLayer>(*this);
  }

 private:
  BatchNorm2d norm1_;
  Conv2d conv1_;
  BatchNorm2d norm2_;
  Conv2d conv2_;
};

/// `features.conv0` (3x3 to 2*growth), `denseblock1` - `transition1` - `denseblock2` -
/// `transition2` - `denseblock3`, `norm5` (torchvision's name of the last norm), global mean,
/// `classifier`.
class DenseNet : public Module {
 public:
  /// Throws ValueError unless depth = 6n+4 and growth >= 1.
  DenseNet(int depth, int64_t growth, int64_t image_channels, int64_t classes);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return title_; }
  void reset_parameters(const InitRng& rng) override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<DenseNet>(*this);
  }

 private:
  std::string title_;
  Sequential features_;
  std::shared_ptr<Linear> classifier_;
};

}  // namespace espalier::nn::models
