// SPDX-License-Identifier: Apache-2.0
/// BlockForm: what a residual block does with its branch; a part of the block.
#pragma once

#include <functional>
#include <memory>

#include <espalier/nn/forms/attached.h>

namespace espalier::nn {

/// See above.
class BlockForm : public Attached {
 public:
  /// What takes the place of shortcut + branch(x). `branch` may be run for some of the samples, or
  /// not at all; shapes as the block's.
  virtual Variable add_branch(const Variable& x,
                              const Variable& shortcut,
                              const std::function<Variable(const Variable&)>& branch) = 0;
};

/// A residual block, as this room sees it: derive from it beside Module, visit `form`, and let it
/// add the branch.
class FormedBlock {
 public:
  virtual ~FormedBlock() = default;
  /// False for a block that adds nothing to its branch; it can have no form.
  virtual bool has_shortcut() const { return true; }

  std::shared_ptr<BlockForm> form;  ///< null: the branch is always run
};

}  // namespace espalier::nn
