// SPDX-License-Identifier: Apache-2.0
/// Optimizers. They know masks: a pruned weight and its state are zero, weight decay does not touch it,
/// a regrown weight starts with fresh state.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <espalier/nn/module.h>

namespace espalier::nn {

/// Parameters that share settings.
struct ParameterGroup {
  std::vector<NamedParameter> parameters;
  double lr_scale = 1.0;      ///< times the optimizer's learning rate
  double weight_decay = 0.0;
};

/// One group of all parameters of a model; `decay_norm_and_bias` false puts tensors of rank < 2 into a
/// second group without weight decay.
std::vector<ParameterGroup> parameter_groups(Module& model,
                                             double weight_decay,
                                             bool decay_norm_and_bias = true);

/// Updates parameters from their gradients. Holds pointers into the model, which must outlive it.
class Optimizer {
 public:
  explicit Optimizer(std::vector<ParameterGroup> groups) : groups_(std::move(groups)) {}
  virtual ~Optimizer() = default;

  /// One update with the current learning rate; parameters without gradient are left alone.
  virtual void step() = 0;
  void zero_grad();
  double lr() const { return lr_; }
  void set_lr(double lr) { lr_ = lr; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }

  /// The optimizer's tensors of one parameter (momentum, ..), by kind; created on first use. Shrinking and
  /// mask changes edit them.
  virtual std::map<std::string, Tensor*> slots(const std::string& parameter) = 0;
  /// Sets state to zero wherever a parameter's mask is 0. Called by pruners after a mask change.
  void clear_masked_state();
  /// All state by name, for checkpoints.
  virtual std::map<std::string, Tensor> state_dict() = 0;
  /// Throws ValueError for unknown names or wrong shapes.
  virtual void load_state_dict(const std::map<std::string, Tensor>& state) = 0;

 protected:
  std::vector<ParameterGroup> groups_;
  double lr_ = 0.1;
};

}  // namespace espalier::nn
