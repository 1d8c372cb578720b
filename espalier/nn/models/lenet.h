// SPDX-License-Identifier: Apache-2.0
/// The two classic networks of pruning papers: LeNet-300-100 (three linear layers) and LeNet-5 in
/// its Caffe form (20 and 50 kernels, ReLU, 500 hidden units). Source: LeCun et al., Proc. IEEE
/// 1998; sizes as in Han et al., arXiv:1506.02626.
#pragma once

#include <espalier/data/dataset.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/linear.h>

namespace espalier::nn::models {

/// pixels - 300 - 100 - classes. Input (N,C,H,W), flattened first. Layers `fc1`, `fc2`, `fc3`.
class LeNet300 : public Module {
 public:
  /// For flattened images of this shape.
  LeNet300(const data::ImageShape& image, int64_t classes);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "LeNet-300-100"; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<LeNet300>(*this);
  }

 private:
  Linear fc1_, fc2_, fc3_;
};

/// conv 5x5 (20) - pool - conv 5x5 (50) - pool - 500 - classes. Layers `conv1`, `conv2`, `fc1`,
/// `fc2`.
class LeNet5 : public Module {
 public:
  /// Throws ValueError for images below 16x16.
  LeNet5(const data::ImageShape& image, int64_t classes);
  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "LeNet-5"; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<LeNet5>(*this); }

 private:
  Conv2d conv1_, conv2_;
  Linear fc1_, fc2_;
};

}  // namespace espalier::nn::models
