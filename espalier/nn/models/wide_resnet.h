// SPDX-License-Identifier: Apache-2.0
/// Wide residual networks WRN-d-k: three stages of (d-4)/6 blocks in pre-activation order.
/// Source: Zagoruyko, Komodakis, arXiv:1605.07146, table 1 (without dropout).
#pragma once

#include <vector>

#include <espalier/nn/forms/block_form.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/sequential.h>

namespace espalier::nn::models {

/// y = relu(bn1 x); conv2(relu(bn2(conv1 y))) + x, or + downsample(y), a 1x1 convolution, where the
/// number of channels or the stride changes.
class PreactBlock : public Module, public FormedBlock {
 public:
  /// `in` channels to `out`, the first convolution with `stride`.
  PreactBlock(int64_t in, int64_t out, int64_t stride);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "PreactBlock"; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<PreactBlock>(*this);
  }

 private:
  BatchNorm2d bn1_;
  Conv2d conv1_;
  BatchNorm2d bn2_;
  Conv2d conv2_;
  std::shared_ptr<Conv2d> downsample_;
};

/// conv1 (16) - layer1 .. layer3 (16k, 32k, 64k channels, times `width`) - bn1 - global mean - fc.
class WideResNet : public Module {
 public:
  /// Throws ValueError unless depth = 6n+4 and k >= 1.
  WideResNet(int depth, int64_t k, int64_t image_channels, int64_t classes, double width);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return title_; }
  void reset_parameters(const InitRng& rng) override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<WideResNet>(*this);
  }

 private:
  std::string title_;
  Conv2d conv1_;
  std::vector<Sequential> layers_;
  BatchNorm2d bn1_;
  Linear fc_;
};

}  // namespace espalier::nn::models
