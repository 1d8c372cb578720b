// SPDX-License-Identifier: Apache-2.0
/// Activation functions as modules, for use in Sequential. They have no parameters and keep the
/// layout.
#pragma once

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// max(x, 0).
class ReLU : public Module {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "ReLU"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<ReLU>(*this); }
};

/// min(max(x, 0), 6). Source: Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.
class ReLU6 : public Module {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return limited_ ? "ReLU6" : "ReLU6 without its limit"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }
  /// max(x, 0) from here on: for who asks of a copy what passes through the network when no unit is
  /// full.
  void lift_limit() { limited_ = false; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<ReLU6>(*this); }

 private:
  bool limited_ = true;
};

/// x/2 * (1 + erf(x / sqrt 2)), or its form by tanh (`gelu_tanh`). Source: arXiv:1606.08415.
class GELU : public Module {
 public:
  /// Settings of the layer.
  struct Options {
    bool tanh = false;  ///< the approximation, with which GPT-2 was trained
  };
  GELU() = default;
  /// The sizes and choices that it was built with.
  explicit GELU(const Options& options) : options_(options) {}
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return options_.tanh ? "GELU(tanh)" : "GELU"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<GELU>(*this); }

 private:
  Options options_;
};

/// 1 / (1 + e^-x).
class Sigmoid : public Module {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "Sigmoid"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Sigmoid>(*this); }
};

/// Hyperbolic tangent.
class Tanh : public Module {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "Tanh"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Tanh>(*this); }
};

/// x * sigmoid(x). Source: arXiv:1702.03118.
class SiLU : public Module {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "SiLU"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<SiLU>(*this); }
};

/// log(1 + e^x).
class Softplus : public Module {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "Softplus"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Softplus>(*this);
  }
};

/// x where x > 0, else slope * x; the derivative at 0 is the slope.
class LeakyReLU : public Module {
 public:
  /// `slope` is the factor of negative inputs.
  explicit LeakyReLU(double slope = 0.01) : slope_(slope) {}
  void visit(MemberVisitor&) override {}
  std::string describe() const override;
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<LeakyReLU>(*this);
  }

 private:
  double slope_;
};

}  // namespace espalier::nn
