// SPDX-License-Identifier: Apache-2.0
/// Residual: a block whose input is added to its result.
#pragma once

#include <memory>

#include <espalier/nn/forms/block_form.h>
#include <espalier/nn/layers/activations.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// activation(main(x) + shortcut(x)). Parts are named `main`, `shortcut`, `activation`.
/// Source: He et al., arXiv:1512.03385.
class Residual : public Module, public FormedBlock {
 public:
  /// The parts; a null shortcut or activation is the identity.
  struct Parts {
    std::shared_ptr<Module> main = {};                              ///< must be there
    std::shared_ptr<Module> shortcut = {};                          ///< null: the identity
    std::shared_ptr<Module> activation = std::make_shared<ReLU>();  ///< null: the identity
  };

  /// Throws ValueError without a main part.
  explicit Residual(Parts parts);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  /// The sizes and choices that it was built with.
  const Parts& parts() const { return parts_; }

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Residual>(*this);
  }

 private:
  Parts parts_;
};

}  // namespace espalier::nn
