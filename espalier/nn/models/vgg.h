// SPDX-License-Identifier: Apache-2.0
/// Plain stacks of 3x3 convolutions: VGG with batch norm in its CIFAR form (one linear layer), and
/// the small Conv-2/4/6 of the lottery ticket hypothesis. Sources: Simonyan, Zisserman,
/// arXiv:1409.1556; Frankle, Carbin, arXiv:1803.03635, figure 2.
#pragma once

#include <espalier/data/dataset.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/sequential.h>

namespace espalier::nn::models {

/// VGG-11/13/16/19-BN: `features.N` numbered as in torchvision (convolution, batch norm, an empty
/// slot where torchvision has its ReLU, which is fused into the batch norm here), then the mean
/// over what is left of the plane (one pixel for 32x32), then `classifier`. Convolutions have no
/// bias. A pool that would shrink a side to nothing (images below 32) is an empty slot.
class Vgg : public Module {
 public:
  /// `depth` is 11, 13, 16 or 19 (ValueError otherwise); `width` multiplies the channels.
  Vgg(int depth, const data::ImageShape& image, int64_t classes, double width);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Vgg>(*this); }

 private:
  int depth_;
  Sequential features_;
  Linear classifier_;
};

/// Conv-2/4/6: pairs of 3x3 convolutions (64, 128, 256 channels, with bias, ReLU), a 2x2 max pool
/// after each pair, then 256 - 256 - classes. Layers `features.N` and `classifier.0`, `.2`, `.4`.
class ConvStack : public Module {
 public:
  /// `depth` is 2, 4 or 6 (ValueError otherwise).
  ConvStack(int depth, const data::ImageShape& image, int64_t classes);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<ConvStack>(*this);
  }

 private:
  int depth_;
  Sequential features_;
  Sequential classifier_;
};

}  // namespace espalier::nn::models
