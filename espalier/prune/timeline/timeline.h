// SPDX-License-Identifier: Apache-2.0
/// Timeline: what a pruning method does, and when. A method is a list of events; one runner
/// (drive/pruner.h) takes them through a training, saves what they remember, and reports.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/ground/inputs.h>
#include <espalier/prune/ground/report.h>
#include <espalier/prune/ground/settings.h>
#include <espalier/prune/patterns/layer_patterns.h>
#include <espalier/prune/recovery/recovery.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {

struct UpdateParts;

/// What an action works on.
struct Subject {
  nn::Module& model;              ///< as it is now
  nn::Optimizer* optimizer;       ///< of its training; null: none
  const LayerPatterns& pattern;   ///< that was chosen, and those of single layers
  const PruneSettings& settings;  ///< with the sparsity settled
  const PruneInputs& inputs;      ///< with what is empty in them taken from the training
};

/// Which of a timeline's mask updates one is.
struct UpdateNumber {
  int64_t number = 0;  ///< from 0; its random numbers depend on (seed, number) alone
  bool last = false;   ///< none follows
};

/// What is true of an action by what it is made of; a method's facts follow from its actions'.
struct ActionFacts {
  bool needs_data = false;    ///< it reads batches, or what a training makes of them
  bool global = false;        ///< layers compete for one budget
  bool revives = false;       ///< what is gone may come back
  bool needs_norm = false;    ///< it ranks channels by the batch norm behind them
  bool needs_blocks = false;  ///< it is for networks with residual blocks
  /// It divides a sparsity among layers, and so heeds budgets, floors and ceilings of single ones.
  bool divides = false;
  bool stays =
      false;  ///< it removes no weight: its forms stay on the network, and are saved with it
};

/// Something that happens: a part of a method. It acts at the moments of its event (mask updates)
/// or on every step while its event lasts (penalties, gates).
class Action {
 public:
  virtual ~Action() = default;
  /// By what it is made of.
  virtual ActionFacts facts() const { return {}; }

  /// What a mask update is made of; null: it is none.
  virtual const UpdateParts* parts() const { return nullptr; }

  /// Why it can't serve a pattern; empty if it can.
  virtual std::string refusal(const Pattern&) const { return {}; }
  /// Of a target that is no sparsity: why it can't be met; empty if this action meets it; nothing
  /// if it has no part in how much goes.
  virtual std::optional<std::string> target_refusal(const Target&) const { return {}; }
  /// Adds what is trained besides the weights. Before the optimizer is made and before state is
  /// loaded. Returns what a user must know.
  virtual std::vector<std::string> attach(const Subject&) { return {}; }
  /// Before training: throws ValueError for what it can't do with this model and these settings.
  virtual void check(const Subject&) {}

  /// At moments of its event: those of `rounds` (usually one) are one change of masks.
  virtual UpdateReport update(const Subject& subject,
                              std::span<const Moment> rounds,
                              UpdateNumber number);
  /// True if it must come after the backward pass of its step, because it reads dense gradients.
  virtual bool needs_gradients(const Moment&) const { return false; }

  /// While its event lasts: before the first step of it (not when resuming), after its last, and as
  /// in nn::TrainHook.
  virtual void enter(const Subject&, nn::TrainState&) {}
  /// After the last step.
  virtual void leave(const Subject&, nn::TrainState&) {}
  /// Before the forward pass.
  virtual void before_step(const Subject&, nn::TrainState&) {}
  /// What a step minimizes instead of what the training was given, which is `state.objective`;
  /// null: that. Of several actions that bring one, the first decides.
  virtual nn::Objective* objective(const Subject&, nn::TrainState&) { return nullptr; }
  /// Between the forward and the backward pass: what to add to the loss.
  virtual Variable penalty(const Subject&, nn::TrainState&) { return {}; }
  /// Between the backward pass and the optimizer.
  virtual void after_backward(const Subject&, nn::TrainState&) {}
  /// After the optimizer's step.
  virtual void after_step(const Subject&, nn::TrainState&) {}

  /// True if `observe` reads gradients of removed weights too, which are then computed in every
  /// step.
  virtual bool observes_dense_gradients() const { return false; }
  /// After every backward pass of the whole training, for scores that accumulate.
  virtual void observe(nn::TrainState&) {}
  /// What it must remember, for checkpoints.
  virtual std::map<std::string, Tensor> state() const { return {}; }
  /// Takes over what `state()` gave.
  virtual void load_state(const std::map<std::string, Tensor>&) {}
};

/// An action and when it happens: at moments, or from one fraction of training to another. What is
/// due at one step happens in the order of the events before the forward pass; what needs gradients
/// comes after the backward pass of that step, again in order.
struct Event {
  std::shared_ptr<const Schedule> moments = {};  ///< null: none
  double from = 0.0;                             ///< fraction of training
  double until = 0.0;                            ///< fraction of training
  std::shared_ptr<Action> action = {};           ///< what happens then; shared by events
};
/// At the moments of a schedule.
Event at(std::unique_ptr<Schedule> moments, std::shared_ptr<Action> action);
/// On every step from `from` on, before `until`. An event of no length is entered and left.
Event during(double from, double until, std::shared_ptr<Action> action);

/// A method's events, in the order in which they act on one step.
struct Timeline {
  std::vector<Event> events = {};  ///< of one step, the first acts first
  /// Null: training goes on after an update. Else updates are rounds: each comes after the last
  /// step, and the recovery says from where, and with which weights, training starts again.
  std::shared_ptr<Recovery> recovery = {};
  /// Ablations that would mean nothing, and why not.
  std::map<Ablation, std::string> refused = {};
};

/// Why no action of a timeline meets a target; empty if one does, and for any sparsity.
std::string target_refusal(const Timeline& timeline, const Target& target);

/// What is true of a method by its timeline.
struct MethodFacts {
  bool one_shot = false;      ///< one mask update
  bool global = false;        ///< layers compete for one budget
  bool data_free = false;     ///< no action reads data
  bool revives = false;       ///< what is gone may come back
  bool needs_norm = false;    ///< it ranks channels by the batch norm behind them
  bool needs_blocks = false;  ///< it is for networks with residual blocks
  bool stays = false;         ///< no weight is removed: its forms stay on the network
};
/// By its actions, and the moments of a training of a hundred epochs.
MethodFacts facts_of(const Timeline& timeline);

}  // namespace espalier::prune
