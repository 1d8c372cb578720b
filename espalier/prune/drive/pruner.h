// SPDX-License-Identifier: Apache-2.0
/// Pruner: the one runner of all methods, a hook of `nn::fit`. It takes a timeline through a
/// training: which moments are due, which actions last, what a resumed run must know, reports.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// Takes a timeline through a training. Updates are numbered over all events, and their random
/// numbers depend on (seed, number) alone, so that a killed run continues with the same bits.
/// Several moments of one event and one step (rounds without training between them) are one change
/// of masks and one report. Where growth needs gradients, dense ones are asked for at the steps of
/// its updates alone, which then take the place of the optimizer's step.
class Pruner : public nn::TrainHook {
 public:
  /// `settings` with its sparsity settled. Throws ValueError for settings that the pattern or the
  /// method can't meet, NotImplemented for an ablation that would mean nothing.
  Pruner(std::string method,
         Timeline timeline,
         LayerPatterns pattern,
         PruneSettings settings,
         PruneInputs inputs);
  ~Pruner() override;

  /// Adds what the method trains besides the weights (forms, gates) to a model: call it before the
  /// model's optimizer is made and before state is loaded. Nothing to do for most methods. Returns
  /// what a user must know. Throws ValueError and NotImplemented for a model that the method can't
  /// serve.
  std::vector<std::string> attach(nn::Module& model);

  /// The mask updates made by this object so far.
  const std::vector<UpdateReport>& updates() const { return updates_; }
  /// Called after every mask update.
  std::function<void(const UpdateReport&)> on_update = {};
  /// Steps that the method trains beyond `total_steps`, by going back and training again.
  int64_t repeated_steps(int64_t total_steps) const;
  /// Epochs that end in them: one that is gone back into counts whole. `total_steps` are whole
  /// epochs of `steps_per_epoch`.
  int64_t repeated_epochs(int64_t total_steps, int64_t steps_per_epoch) const;

  /// One mask update to `target` now, outside of the timeline's moments: the first call does what
  /// the first event with moments does, later calls what the last one does. `optimizer` may be
  /// null. Throws ValueError for masks that cut the network unless allowed; none is changed then.
  UpdateReport prune(nn::Module& model,
                     nn::Optimizer* optimizer,
                     Sparsity target,
                     int64_t step = 0);

  void before_training(nn::TrainState& state) override;
  void before_step(nn::TrainState& state) override;
  nn::Objective* objective(nn::TrainState& state) override;
  Variable penalty(nn::TrainState& state) override;
  void after_backward(nn::TrainState& state) override;
  void after_step(nn::TrainState& state) override;
  void end_of_epoch(nn::TrainState& state) override;
  std::optional<int64_t> rewind(nn::TrainState& state) override;
  void end_of_training(nn::TrainState& state) override;
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  /// Where an event stands in a training.
  struct Progress {
    int64_t done = 0;      // of its moments
    bool entered = false;  // a lasting event
    bool left = false;
  };

  /// Patterns of layers name layers of the model.
  void check_layers(nn::Module& model) const;
  Subject subject(nn::TrainState& state);
  std::vector<Moment> moments(const Event& event, const nn::TrainState& state) const;
  int64_t moments_left(const nn::TrainState& state) const;
  bool lasts(size_t event) const;
  /// An action of several events is saved once.
  bool is_first_of_action(size_t event) const;
  /// Trainings after the first.
  int64_t rounds(int64_t total_steps) const;
  template <class Visit>
  void each_lasting(nn::TrainState& state, Visit visit);
  void run_due(nn::TrainState& state, bool at_end_of_epoch);
  void run_due_moments(size_t event, nn::TrainState& state, bool at_end_of_epoch);
  void begin_and_end(size_t event, nn::TrainState& state);
  void request_gradients(nn::TrainState& state);
  /// Makes the next `count` moments of an event one change of masks.
  void run(size_t event, nn::TrainState& state, size_t count);
  void record(UpdateReport report, bool last);

  std::string method_;
  Timeline timeline_;
  LayerPatterns pattern_;
  PruneSettings settings_;
  PruneInputs inputs_;
  std::optional<PruneInputs> inputs_of_training_;
  const data::Loader* loader_ = nullptr;  // that they were taken from
  std::vector<Progress> progress_;        // by event
  int64_t next_update_ = 0;               // number of the next one
  std::vector<UpdateReport> updates_;
  // While dense gradients are asked for: whose, and what was asked for before.
  std::vector<std::pair<nn::Parameter*, sparse::GradRequest>> requested_;
  bool updates_wait_ = false;  // for these gradients, not only actions that observe
};

}  // namespace espalier::prune
