// SPDX-License-Identifier: Apache-2.0
/// Pruners as hooks of `nn::fit`: pruning before, during and after training differ only in when the
/// hook acts. MaskPruner runs any score x pattern x allocation x schedule (x regrowth); methods of
/// another kind (gates, penalties, run-time pruning) derive from Pruner.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <espalier/nn/train/fit.h>
#include <espalier/prune/sparsity.h>

namespace espalier::prune {

class Score;
class Pattern;
class Allocation;
class Schedule;
class Regrowth;
class MaskUpdate;
class Recovery;
struct ScheduledUpdate;
enum class Stage : uint8_t;

/// Sanity checks of a method (arXiv 2009.08576, 2009.11094), applied after every mask update.
enum class Ablation : uint8_t {
  None,
  /// The mask's units are permuted inside each layer, and those that a dynamic method moves are
  /// drawn at random: only the layer densities remain.
  Shuffle,
  Invert,  ///< the highest scores are removed instead of the lowest
  Reinit,  ///< after the last update the model starts again from fresh initial weights, masks kept
};

/// What the user asks of any pruner. Field names are those of `common_options()`.
struct PruneSettings {
  Sparsity sparsity = Sparsity(0.9);      ///< final, over the prunable weights
  std::string pattern = "";               ///< empty: the method's default
  std::vector<std::string> exclude = {};  ///< parameter names, or prefixes of them up to a dot
  /// Units (weights, blocks, filters) that every layer keeps at least.
  int64_t min_per_layer = 0;
  bool allow_collapse = false;                      ///< train on though the masks cut the network
  Ablation ablation = Ablation::None;               ///< a sanity check instead of the method
  std::map<std::string, std::string> options = {};  ///< the method's own
};

/// What a pruner may use besides the model. Data-free methods need none of it.
struct PruneInputs {
  /// Batch `index` of the data for scoring, augmented as in training: a pure function of the index.
  /// Empty: inside of `fit()` the training's own batches, elsewhere none.
  std::function<data::Batch(int64_t index)> batch = {};
  /// Batches of `batch` in which every sample comes once; later ones are the same samples again. 0:
  /// nobody knows.
  int64_t batches = 0;
  /// `batch` is the same for every index, as when somebody hands over the samples to score with:
  /// all of them are used, once.
  bool single_batch = false;
  /// Mean loss of (logits, labels); empty means cross-entropy.
  std::function<Variable(const Variable&, const Tensor&)> loss = {};
  /// (C,H,W) of a sample; needed by the pattern `channel`, which traces the model, and by scores
  /// that look at made-up data. Empty: inside of `fit()` that of the training's own images.
  Shape input_shape = {};
  /// A newly initialized model of the same architecture; needed by Ablation::Reinit.
  std::function<std::unique_ptr<nn::Module>(uint64_t seed)> fresh_model = {};
  uint64_t seed = 0;  ///< of everything random
};

/// One layer after a mask update.
struct LayerReport {
  std::string name;     ///< of the weight
  int64_t total = 0;    ///< weights of the layer
  int64_t kept = 0;     ///< of these, kept
  int64_t changed = 0;  ///< mask entries that differ from before the update
  /// Removed fraction of the layer.
  Sparsity sparsity() const;
};

/// One mask update.
struct UpdateReport {
  int64_t step = 0;                      ///< at which it was made
  Sparsity target = Sparsity(0.0);       ///< what the schedule asked for
  std::vector<LayerReport> layers = {};  ///< in the order of the weights
  /// What a user must know: layers left dense and why, collapse, idle layers, and of the last
  /// update a target that was missed.
  std::vector<std::string> notes = {};
  /// What `target` is a fraction of.
  SparsityOf target_of = SparsityOf::Nothing;
  Sparsity reached = Sparsity(0.0);  ///< of the same; 0 of nothing
  /// Prunable weights.
  int64_t total() const;
  /// Of these, kept.
  int64_t kept() const;
  /// Reached, over the prunable weights.
  Sparsity sparsity() const;
};

/// A pruning method in training.
class Pruner : public nn::TrainHook {
 public:
  /// The mask updates made by this object so far.
  const std::vector<UpdateReport>& updates() const { return updates_; }
  /// Called after every mask update.
  std::function<void(const UpdateReport&)> on_update = {};
  /// Steps that the method trains beyond `total_steps`, by going back and training again.
  virtual int64_t repeated_steps(int64_t /*total_steps*/) const { return 0; }
  /// Epochs that end in them: one that is gone back into counts whole. `total_steps` are whole
  /// epochs of `steps_per_epoch`.
  virtual int64_t repeated_epochs(int64_t /*total_steps*/, int64_t /*steps_per_epoch*/) const {
    return 0;
  }

 protected:
  /// Appends to `updates()` and calls `on_update`. When the method makes no update after it
  /// (`last`) and it missed its target, a note says so.
  void record(UpdateReport report, bool last);

 private:
  std::vector<UpdateReport> updates_;
};

/// What a composed method is made of.
struct Recipe {
  /// Without parts.
  Recipe();
  Recipe(Recipe&&) noexcept;
  Recipe& operator=(Recipe&&) noexcept;
  ~Recipe();

  std::unique_ptr<Score> score;  ///< how much a weight matters
  /// Of the first update, where it is another one: dynamic methods start from a random mask.
  std::unique_ptr<Score> initial_score;
  std::unique_ptr<Allocation> allocation;  ///< how many units each layer keeps
  std::unique_ptr<Schedule> schedule;      ///< at which steps
  std::unique_ptr<Regrowth> regrowth;      ///< null: what is gone stays gone
  /// Null: training goes on after an update. Else updates are rounds: each comes after the last
  /// step, and the recovery says from where, and with which weights, training starts again.
  std::unique_ptr<Recovery> recovery;
  /// Single weights compete with those of the same output only, each output losing as many.
  bool compete_in_rows = false;
  /// When set, layers are pruned in the order in which they run, a stage at a time, so that each is
  /// scored on what the pruned layers before it give. Not for patterns that couple layers.
  std::optional<Stage> stages;
  /// Of structured patterns: only channel groups made by one layer (no residual sums).
  bool single_producer_only = false;
};

/// Runs a recipe: at every update of the schedule it scores, allocates, selects and sets masks,
/// then clears the optimizer's state of pruned weights. Updates are numbered, and their random
/// numbers depend on (seed, number) alone, so that a killed run continues with the same bits.
/// Several updates of one step (rounds without training between them) are one change of masks and
/// one report. When regrowth needs gradients, dense ones are asked for at the steps of its updates
/// alone, which then take the place of the optimizer's step.
class MaskPruner : public Pruner {
 public:
  /// `settings.options` were read when the recipe was made.
  MaskPruner(Recipe recipe,
             std::shared_ptr<const Pattern> pattern,
             PruneSettings settings,
             PruneInputs inputs);
  ~MaskPruner() override;

  void before_training(nn::TrainState& state) override;
  void before_step(nn::TrainState& state) override;
  void after_backward(nn::TrainState& state) override;
  std::optional<int64_t> rewind(nn::TrainState& state) override;
  void end_of_training(nn::TrainState& state) override;
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;
  int64_t repeated_steps(int64_t total_steps) const override;
  int64_t repeated_epochs(int64_t total_steps, int64_t steps_per_epoch) const override;

  /// One mask update to `target` now, outside of the schedule. `optimizer` may be null. Throws
  /// ValueError for masks that cut the network unless allowed; none is changed then.
  UpdateReport prune(nn::Module& model,
                     nn::Optimizer* optimizer,
                     Sparsity target,
                     int64_t step = 0);

 private:
  std::vector<ScheduledUpdate> plan(const nn::TrainState& state) const;
  bool needs_gradients(const ScheduledUpdate& planned) const;
  void run_due_updates(nn::TrainState& state);
  void request_gradients(nn::TrainState& state);
  /// Makes the next updates, from number `next_update_` on, as one change of masks.
  void run(nn::TrainState& state, std::span<const ScheduledUpdate> rounds, bool last);

  UpdateReport update(nn::Module& model,
                      nn::Optimizer* optimizer,
                      const PruneInputs& inputs,
                      std::span<const ScheduledUpdate> rounds,
                      bool last);
  UpdateReport update_at_once(nn::Module& model,
                              const PruneInputs& inputs,
                              std::span<const ScheduledUpdate> rounds);
  UpdateReport update_in_stages(nn::Module& model,
                                const PruneInputs& inputs,
                                std::span<const ScheduledUpdate> rounds);
  void run_round(MaskUpdate& update, const ScheduledUpdate& planned, int64_t number);
  /// Trainings after the first.
  int64_t rounds(int64_t total_steps) const;

  Recipe recipe_;
  std::shared_ptr<const Pattern> pattern_;
  PruneSettings settings_;
  PruneInputs inputs_;
  int64_t next_update_ = 0;  // number of the next one
  // While dense gradients are asked for: whose, and what was asked for before.
  std::vector<std::pair<nn::Parameter*, sparse::GradRequest>> requested_;
};

}  // namespace espalier::prune
