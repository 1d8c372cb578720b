// SPDX-License-Identifier: Apache-2.0
/// Tensors, parameters and optimizer state with only some of their channels, or with channels in
/// another order. Everything new is made before anything is changed. Not a public interface.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/nn/module/parameter.h>
#include <espalier/nn/train/optimizer.h>

namespace espalier::prune {

/// How a tensor is cut: for each dimension in question the old index of every new one.
using Cuts = std::map<int, std::vector<int64_t>>;

/// A tensor of its own with the entries that `cuts` names.
Tensor cut(Tensor tensor, const Cuts& cuts);

/// New tensors of one parameter: value, mask (none where all of what is left is kept), slots of the
/// optimizer that updates it.
class CutParameter {
 public:
  /// `optimizer` may be null.
  CutParameter(const nn::NamedParameter& named, const Cuts& cuts, nn::Optimizer* optimizer);
  /// Puts them in place. The parameter has the new shape by now; its gradient is dropped.
  void apply();

 private:
  nn::Parameter& parameter_;
  nn::Optimizer* optimizer_ = nullptr;  // null unless it updates the parameter
  std::string name_;                    // there
  Tensor value_, mask_;
  sparse::GradRequest request_;
  bool requires_grad_;
  std::map<std::string, Tensor> slots_;
};

}  // namespace espalier::prune
