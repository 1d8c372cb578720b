// SPDX-License-Identifier: Apache-2.0
/// Optimizers. They know masks: a pruned weight stays zero and has no state, which takes space only
/// for weights that exist; weight decay does not touch it, a regrown weight starts with fresh
/// state. The rules: nn/train/sgd.h, adam.h, rmsprop.h, adagrad.h, muon.h, and lookahead.h around
/// any of them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Parameters that share settings.
struct ParameterGroup {
  std::vector<NamedParameter> parameters = {};  ///< with their names
  double lr_scale = 1.0;                        ///< times the optimizer's learning rate
  double weight_decay = 0.0;                    ///< of these parameters
};

/// One group of all parameters of a model; with `decay_norm_and_bias` false a second one without
/// weight decay takes all tensors of rank < 2. Parameters that don't decay (`Parameter::decays`)
/// are left out of the decay at every step.
std::vector<ParameterGroup> parameter_groups(Module& model,
                                             double weight_decay,
                                             bool decay_norm_and_bias = true);

/// Updates parameters from their gradients. Holds pointers into the model, which must outlive it.
class Optimizer {
 public:
  /// Throws ValueError when two groups hold one parameter or two parameters one name.
  explicit Optimizer(std::vector<ParameterGroup> groups, double lr);
  virtual ~Optimizer() = default;

  /// One update with the current learning rate; parameters without gradient are left alone. Entries
  /// whose mask is 0 are skipped, whatever the gradient holds there. Throws ShapeError when a
  /// parameter's gradient or state no longer has its shape.
  void step();
  /// Forgets the gradients of its parameters.
  void zero_grad();
  /// The learning rate of the next step.
  double lr() const { return lr_; }
  /// Throws ValueError when negative or not finite.
  void set_lr(double lr);
  /// What it trains, and the weight decay of each group.
  const std::vector<ParameterGroup>& groups() const { return groups_; }

  /// How many tensors it keeps of a parameter, each with a value for every weight that exists.
  int64_t state_tensors(const NamedParameter& parameter) const {
    return static_cast<int64_t>(slot_kinds(parameter).size());
  }
  /// The optimizer's tensors of one parameter (momentum, ..), by kind, in the parameter's shape;
  /// zeros where its mask is 0, and if it was never updated. Throws ValueError for an unknown
  /// parameter.
  std::map<std::string, Tensor> slots(const std::string& parameter) const;
  /// Replaces them: all that `slots()` names, in the parameter's shape as it is now. Throws
  /// ValueError for an unknown parameter or for other kinds, ShapeError for another shape, before
  /// anything is changed.
  void set_slots(const std::string& parameter, const std::map<std::string, Tensor>& slots);
  /// Forgets the state of entries whose mask is 0. Called by pruners after a mask change.
  void clear_masked_state();
  /// Forgets the state of one parameter, as if it had never been updated. Throws ValueError for an
  /// unknown parameter.
  void restart(const std::string& parameter);
  /// Takes more parameters into the first group. Throws ValueError for one that it has, or has one
  /// of that name.
  void add(const std::vector<NamedParameter>& parameters);
  /// Forgets the parameters, with their state, that the model has no more (of a form that was taken
  /// off): at once, before they are looked at again.
  void forget_missing(Module& model);
  /// All state by name (`conv1.weight.momentum_buffer`, `conv1.weight.step`), for checkpoints.
  /// In the parameters' shapes, whatever is masked; the learning rate is the schedule's matter and
  /// not in here.
  std::map<std::string, Tensor> state_dict() const;
  /// Throws ValueError naming all unknown names and wrong shapes before anything is changed.
  /// Parameters that are not named start afresh.
  void load_state_dict(const std::map<std::string, Tensor>& state);

 protected:
  /// What is remembered of one parameter.
  struct ParameterState {
    int64_t step = 0;           ///< updates done
    std::vector<Tensor> slots;  ///< in the order of `slot_kinds()`
    /// Updates done of every entry since it exists, in the parameter's type; kept by rules that
    /// `counts_entries()`, from the first mask on. Undefined: `step` counts for all.
    Tensor age = {};
    /// Slots and age are `kept_values` of this support; null: they have the parameter's shape.
    std::shared_ptr<const sparse::Support> support;

    /// A slot or the age in the parameter's shape; shares memory where it has that already.
    Tensor dense(const Tensor& part) const;
    /// Brings all parts to another support. Entries that have not been there start from zero.
    void follow(const std::shared_ptr<const sparse::Support>& other);
  };

  /// Names of the tensors that the rule keeps of a parameter.
  virtual std::vector<std::string> slot_kinds(const NamedParameter& parameter) const = 0;
  /// Whether the rule depends on the number of updates, so that a regrown entry needs its own.
  virtual bool counts_entries(const NamedParameter&) const { return false; }
  /// The rule, for one parameter with a gradient; `state.step` counts this update already.
  virtual void update(NamedParameter& parameter,
                      ParameterState& state,
                      double lr,
                      double weight_decay) = 0;

 private:
  // Rules that apply others': of these neither parameters nor states nor the rate are looked at.
  friend class Lookahead;
  friend class Muon;

  void check_names() const;
  ParameterState& state_of(const NamedParameter& parameter);
  const NamedParameter& named(const std::string& parameter, std::string_view op) const;

  std::vector<ParameterGroup> groups_;
  std::map<std::string, ParameterState> states_;
  double lr_;
};

/// Scales all gradients so that their common 2-norm is at most `max_norm`; returns the norm before.
/// Throws ValueError when `max_norm` is not positive.
double clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm);

}  // namespace espalier::nn
