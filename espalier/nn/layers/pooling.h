// SPDX-License-Identifier: Apache-2.0
/// Pooling layers over (N,C,H,W), in x's layout; see autograd/ops/pooling.h for the exact windows.
#pragma once

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Largest value of each window: `MaxPool2d({.kernel = 2})`.
class MaxPool2d : public Module {
 public:
  /// As the op's.
  explicit MaxPool2d(const PoolOptions& options) : options_(options) {}
  void visit(MemberVisitor&) override {}
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<MaxPool2d>(*this);
  }

 private:
  PoolOptions options_;
};

/// Mean of each window.
class AvgPool2d : public Module {
 public:
  /// As the op's.
  explicit AvgPool2d(const PoolOptions& options) : options_(options) {}
  void visit(MemberVisitor&) override {}
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<AvgPool2d>(*this);
  }

 private:
  PoolOptions options_;
};

/// Mean over out_h x out_w windows that cover the plane: (N,C,H,W) to (N,C,out_h,out_w).
class AdaptiveAvgPool2d : public Module {
 public:
  /// Rows and columns of the result.
  explicit AdaptiveAvgPool2d(int64_t out_h = 1, int64_t out_w = 1) : out_h_(out_h), out_w_(out_w) {}
  void visit(MemberVisitor&) override {}
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<AdaptiveAvgPool2d>(*this);
  }

 private:
  int64_t out_h_;
  int64_t out_w_;
};

}  // namespace espalier::nn
