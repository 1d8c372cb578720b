// SPDX-License-Identifier: Apache-2.0
/// BlockGate: whether a residual block runs its branch for this sample.
///
///   y = shortcut(x) + open(x) branch(x)
///
/// In evaluation the branch runs for the open samples alone, and not at all when there is none.
/// Source: Wang, Yu, Dou, Darrell, Gonzalez, arXiv:1711.09485 (SkipNet); Veit, Belongie,
/// arXiv:1711.11503 (ConvNet-AIG).
#pragma once

#include <espalier/nn/forms/block_form.h>
#include <espalier/nn/gates/gate.h>

namespace espalier::nn {

/// Held by a residual block (nn/forms/slots.h finds them).
class BlockGate : public BlockForm, public Gate {
 public:
  /// `decision` has one unit.
  explicit BlockGate(std::shared_ptr<Decision> decision) : Gate(std::move(decision)) {}

  void visit(MemberVisitor& visitor) override { visitor.inner(decision_); }
  std::string describe() const override;
  std::string kind() const override { return "blocks"; }
  std::map<std::string, double> settings() const override { return decision_->settings(); }
  std::map<std::string, std::string> words() const override { return decision_word(); }
  std::string_view member() const override { return "gate"; }
  bool differs_by_sample() const override { return true; }
  Variable add_branch(const Variable& x,
                      const Variable& shortcut,
                      const std::function<Variable(const Variable&)>& branch) override;

 protected:
  /// What is decided for the block's input x (N,C,H,W): (N,1).
  Variable forward(const Variable& x) override { return decide(x); }
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<BlockGate>(*this);
  }
};

}  // namespace espalier::nn
