// SPDX-License-Identifier: Apache-2.0
/// Flatten and Identity: the layers without arithmetic.
#pragma once

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// (N, d1, .., dk) to (N, d1*..*dk), in x's layout, without a copy.
class Flatten : public Module {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "Flatten"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Flatten>(*this); }
};

/// x.
class Identity : public Module {
 public:
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "Identity"; }
  ChannelCoupling channel_coupling() const override { return {.passes_through = true}; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Identity>(*this);
  }
};

}  // namespace espalier::nn
