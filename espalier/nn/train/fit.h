// SPDX-License-Identifier: Apache-2.0
/// fit(): the one training loop. Everything that differs between runs (pruning before, during,
/// after training, logging, checkpoints) is a TrainHook.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/autograd/packed.h>
#include <espalier/data/loader.h>
#include <espalier/nn/module/module.h>
#include <espalier/nn/train/lr_schedule.h>
#include <espalier/nn/train/objective.h>
#include <espalier/nn/train/optimizer.h>

namespace espalier::nn {

/// Where training stands: with model, optimizer and hooks all that a checkpoint needs. A resumed
/// run continues from it in the middle of an epoch and ends with the same bits.
struct TrainProgress {
  int64_t epoch = 0;  ///< the running epoch
  int64_t step = 0;   ///< position in training: schedules and data order are functions of it
  /// All steps of `epoch` are done and its end-of-epoch hooks were called (or are being called).
  bool epoch_ended = false;
  double loss_sum = 0.0;  ///< of the running epoch: sum over samples seen
  int64_t correct = 0;    ///< of the running epoch: samples classified correctly
  int64_t seen = 0;       ///< of the running epoch: samples seen
  /// Steps that hooks took back (`TrainHook::rewind`): `step + repeated` steps were done in all.
  int64_t repeated = 0;
  /// Who ended training before its last epoch, in the words of `TrainState::stop`; empty: nobody. A
  /// run that is resumed with it ends at once, as the one that was not killed did; whoever wants to
  /// train on empties it.
  std::string stopped_by = {};

  /// True when a hook ended training.
  bool stopped() const { return !stopped_by.empty(); }
  /// As tensors, for a checkpoint file: float64 `loss_sum`, int64 `counters`, and of one that was
  /// stopped uint8 `stopped_by`.
  std::map<std::string, Tensor> to_tensors() const;
  /// Throws ValueError when a tensor is missing or has another shape.
  static TrainProgress from_tensors(const std::map<std::string, Tensor>& tensors);
  bool operator==(const TrainProgress&) const = default;
};

class TrainHook;

/// What hooks see. Steps and epochs count from 0.
struct TrainState {
  Module& model;                ///< what is trained
  Optimizer& optimizer;         ///< what moves its weights
  int64_t epoch = 0;            ///< the running one, from 0
  int64_t step = 0;             ///< position in training, 0 .. total_steps
  int64_t total_steps = 0;      ///< of the whole training
  int64_t steps_per_epoch = 0;  ///< updates an epoch: its batches, `FitOptions::accumulate` a step
  double loss = 0.0;            ///< mean loss of the running epoch so far
  double accuracy = 0.0;        ///< the same for training accuracy, as a fraction
  double step_loss = 0.0;       ///< loss of the newest step
  /// What to save to resume exactly here. Valid in `after_step` and `end_of_epoch`; the hook that
  /// writes it comes last in the list, so that the others have acted.
  TrainProgress progress = {};
  /// The loader of this training, for hooks that need data (scores from gradients): they make a
  /// loader of their own from its dataset and options.
  const data::Loader* loader = nullptr;
  /// What this training minimizes where no hook brings another objective.
  Objective* objective = nullptr;
  /// What the network said of the running step's batch, with its tape, as the loss got it. Defined
  /// in `penalty` alone.
  Variable logits = {};
  /// The batch's labels, (N) int64. Defined in `penalty` alone.
  Tensor labels = {};
  /// The hooks of this training in their order, for the one that writes checkpoints.
  const std::vector<TrainHook*>* hooks = nullptr;

  /// Ends training: after all hooks of the running step have been called (and those of the epoch's
  /// end, if it is the epoch's last step), or of the running epoch's end. `end_of_training`
  /// follows; nobody is asked to go back. `who` names the hook and its reason; the first one is
  /// kept, in `TrainProgress::stopped_by`, so that checkpoints of this very moment hold it. Throws
  /// ValueError for an empty text.
  void stop(std::string_view who);
};

/// Something that acts at fixed moments of training. Pruners, loggers and checkpoints are hooks.
class TrainHook {
 public:
  virtual ~TrainHook() = default;
  /// Before the first step (not called when resuming).
  virtual void before_training(TrainState&) {}
  /// Before the forward pass of a step.
  virtual void before_step(TrainState&) {}
  /// What this step minimizes instead of `TrainState::objective`; null: that. Asked after
  /// `before_step`, once a step; the first hook that brings one decides.
  virtual Objective* objective(TrainState&) { return nullptr; }
  /// Between the forward and the backward pass: what to add to the loss, a scalar with the tape of
  /// this step; undefined for nothing. Reported losses are without it. With
  /// `FitOptions::accumulate` asked for each batch, and weighed as the batch's loss is.
  virtual Variable penalty(TrainState&) { return {}; }
  /// Between backward (of all batches of the step) and the optimizer: gradients are there.
  virtual void after_backward(TrainState&) {}
  /// After the optimizer's step.
  virtual void after_step(TrainState&) {}
  /// After the last step of an epoch; `loss` and `accuracy` are those of the whole epoch.
  virtual void end_of_epoch(TrainState&) {}
  /// After the last epoch (also when a run is resumed there): the step to go back to, for methods
  /// that train in rounds; nothing to end. From that step on learning rates and batches are those
  /// that it had before. Asked again after each round; the first hook that answers decides.
  virtual std::optional<int64_t> rewind(TrainState&) { return std::nullopt; }
  /// After the last epoch, also when a resumed run has no epoch left; gradients are gone.
  virtual void end_of_training(TrainState&) {}
  /// All that the hook must know to continue a killed run; tensors by name.
  virtual std::map<std::string, Tensor> state() const { return {}; }
  /// Takes over what `state()` gave. Throws ValueError when it does not fit.
  virtual void load_state(const std::map<std::string, Tensor>&) {}
};

/// Settings of one training.
struct FitOptions {
  int64_t epochs = 1;            ///< walks over the data
  double label_smoothing = 0.0;  ///< share of the target spread over all classes
  double clip_grad_norm = 0.0;   ///< 0 = off
  /// Batches a step: their gradients are summed up, weighed by their samples, so that the update is
  /// that of one batch of all of them (but for statistics of a batch norm, which each batch has of
  /// its own), in the memory of one. Steps, schedules and hooks count updates; the last step of an
  /// epoch takes what is left of its batches.
  int64_t accumulate = 1;
  /// How ops keep values for the backward pass: bfloat16 halves the memory of activations and
  /// rounds the values that gradients are taken at.
  SavedAs saved_as = SavedAs::AsTheyAre;
  /// What a step minimizes; null: cross-entropy with `label_smoothing`.
  std::shared_ptr<Objective> objective = {};
  /// To resume: where the killed run stood. `before_training` of hooks is then not called; model,
  /// optimizer and hooks must have been loaded.
  std::optional<TrainProgress> resume = {};
};

/// Where training ended, and how well the network did on what it was trained on.
struct FitResult : TrainProgress {
  /// Mean loss over the last epoch, without penalties; over as much of it as was trained when a
  /// hook ended training within. 0 when nothing was trained.
  double loss = 0.0;
  double accuracy = 0.0;  ///< the same for training accuracy, as a fraction
};

/// Trains `model` on `loader`; a short last batch is a step like any other. The learning rate of
/// each step is the schedule's (a hook may set another in `before_step`). Hooks are called in their
/// order. Returns where training ended: after the last epoch `epoch` is the number of epochs; who
/// ended it before that, `stopped_by` tells. The model is left in training mode, without gradients.
/// Throws ValueError before the first step for batches that a batch norm can't be trained on
/// (batch_check.h) and when a module or a parameter that no `visit` names takes part in it, and
/// naming the step when the loss is not finite; the parameters then are as after the step before.
FitResult fit(Module& model,
              Optimizer& optimizer,
              const LrSchedule& schedule,
              data::Loader& loader,
              const std::vector<TrainHook*>& hooks,
              const FitOptions& options);

/// Result of an evaluation.
struct Evaluation {
  int64_t correct = 0;  ///< samples classified correctly; of a text, tokens foretold
  int64_t total = 0;    ///< samples seen; of a text, tokens
  double loss = 0.0;    ///< mean cross-entropy
  /// Fraction classified correctly; 0 without samples.
  double accuracy() const {
    return total == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(total);
  }
};

/// Runs `model` in eval mode over the loader's epoch 0, unrecorded, and restores all training
/// flags.
Evaluation evaluate(Module& model, data::Loader& loader);
/// The same of any function from images to logits, such as a compiled plan.
Evaluation evaluate(const std::function<Tensor(const Tensor& images)>& logits_of,
                    data::Loader& loader);

}  // namespace espalier::nn
