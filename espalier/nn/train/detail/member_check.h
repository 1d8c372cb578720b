// SPDX-License-Identifier: Apache-2.0
/// MemberCheck: finds what takes part in a forward pass and `visit` does not name. It would be
/// neither trained, saved, nor switched to evaluation, and no number would show it. Not a public
/// interface.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/optimizer.h>

namespace espalier::nn::detail {

/// Listens to one forward pass.
class MemberCheck : public CallListener {
 public:
  /// Parameters that `optimizer` moves may be in nobody's `visit`: they are trained.
  MemberCheck(Module& model, const Optimizer& optimizer);

  /// Throws ValueError naming a module that no `visit` names, and who calls it. A network that
  /// nobody of the model calls is another one, such as a teacher, and is not looked at.
  void enter(Module& module, const Variable& input) override;
  void leave(Module& module, const Variable& input, const Variable& output) override;
  /// Walks the tape behind `output`. Throws ValueError naming the op that reads a parameter that no
  /// `visit` names.
  void check_parameters(const Variable& output) const;

 private:
  std::unordered_map<const Module*, std::string> names_;
  std::unordered_set<const VariableState*> known_;
  std::vector<const Module*> open_;
  int of_others_ = 0;  // open calls of another network
};

}  // namespace espalier::nn::detail
