// SPDX-License-Identifier: Apache-2.0
/// RegularizedPruner: training in two phases. In the first a penalty or gates bring units of the
/// network towards zero; then one mask update removes them, and the rest of training is fine-tuning
/// of what is left.
#pragma once

#include <memory>

#include <espalier/prune/mask_update.h>

namespace espalier::prune {

/// The option `prune-at`: where the first phase ends.
Option prune_at_option();

/// What methods of two phases share: when the second begins, the mask update between them, and the
/// saved state.
class RegularizedPruner : public Pruner {
 public:
  void before_training(nn::TrainState& state) final;
  void before_step(nn::TrainState& state) final;
  void after_backward(nn::TrainState& state) final;
  void after_step(nn::TrainState& state) final;
  void end_of_training(nn::TrainState& state) final;
  std::map<std::string, Tensor> state() const final;
  void load_state(const std::map<std::string, Tensor>& state) final;

 protected:
  /// prune_at  fraction of training at which the first phase ends.
  RegularizedPruner(double prune_at,
                    std::shared_ptr<const Pattern> pattern,
                    PruneSettings settings,
                    PruneInputs inputs);

  /// Moments of the first phase only: before training (not when resuming) and as in TrainHook.
  virtual void begin(nn::TrainState&) {}
  /// Before the forward pass.
  virtual void enter_step(nn::TrainState&) {}
  /// Between backward and the optimizer.
  virtual void add_penalty(nn::TrainState&) {}
  /// After the optimizer's step.
  virtual void leave_step(nn::TrainState&) {}
  /// Between the phases: decides and sets the masks, by `remove_units`.
  virtual void prune(nn::TrainState& state) = 0;
  /// The allocation that `prune` will use, where that is known: a sparsity that it can't reach is
  /// then refused before training.
  virtual std::unique_ptr<Allocation> planned_allocation() const { return nullptr; }
  /// What a method must remember in the first phase, and taking it over.
  virtual std::map<std::string, Tensor> phase_state() const { return {}; }
  /// Takes over what `phase_state()` gave.
  virtual void load_phase_state(const std::map<std::string, Tensor>&) {}

  /// One mask update with this score and allocation, recorded.
  void remove_units(nn::TrainState& state,
                    const PruneSettings& settings,
                    Score& score,
                    const Allocation& allocation,
                    bool single_producer_only);
  /// The places at which the pattern prunes.
  std::vector<Site> find_sites(const nn::TrainState& state, bool single_producer_only) const;

  /// As given.
  const PruneSettings& settings() const { return settings_; }
  /// As given.
  const PruneInputs& inputs() const { return inputs_; }
  /// As given.
  const Pattern& pattern() const { return *pattern_; }

 private:
  void prune_when_due(nn::TrainState& state);

  double prune_at_;
  std::shared_ptr<const Pattern> pattern_;
  PruneSettings settings_;
  PruneInputs inputs_;
  bool pruned_ = false;
};

}  // namespace espalier::prune
