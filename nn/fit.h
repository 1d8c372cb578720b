// SPDX-License-Identifier: Apache-2.0
/// fit(): the one training loop. Everything that differs between runs (pruning before, during, after
/// training, logging, checkpoints) is a TrainHook.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <espalier/data/loader.h>
#include <espalier/nn/lr_schedule.h>
#include <espalier/nn/module.h>
#include <espalier/nn/optimizer.h>

namespace espalier::nn {

/// Where training stands. Steps and epochs count from 0.
struct TrainState {
  Module& model;
  Optimizer& optimizer;
  int64_t epoch = 0;
  int64_t step = 0;             ///< steps done since the start of training
  int64_t total_steps = 0;
  int64_t steps_per_epoch = 0;
  double loss = 0.0;            ///< mean loss of the running epoch so far
  double accuracy = 0.0;        ///< the same for training accuracy, as a fraction
};

/// Something that acts at fixed moments of training. Pruners, loggers and checkpoints are hooks.
class TrainHook {
 public:
  virtual ~TrainHook() = default;
  /// Before the first step (not called when resuming).
  virtual void before_training(TrainState&) {}
  /// Before the forward pass of a step.
  virtual void before_step(TrainState&) {}
  /// Between backward and the optimizer: gradients are there.
  virtual void after_backward(TrainState&) {}
  /// After the optimizer's step.
  virtual void after_step(TrainState&) {}
  virtual void end_of_epoch(TrainState&) {}
  virtual void end_of_training(TrainState&) {}
  /// All that the hook must know to continue a killed run; tensors by name.
  virtual std::map<std::string, Tensor> state() const { return {}; }
  virtual void load_state(const std::map<std::string, Tensor>&) {}
};

/// Settings of one training.
struct FitOptions {
  int64_t epochs = 1;
  double label_smoothing = 0.0;
  double clip_grad_norm = 0.0;  ///< 0 = off
  /// Loss of (logits, labels); empty means cross-entropy with `label_smoothing`.
  std::function<Variable(const Variable&, const Tensor&)> loss = {};
  int64_t first_epoch = 0;      ///< to resume: epochs already done
  int64_t first_step = 0;       ///< steps already done
};

/// Trains `model` on `loader`. Hooks are called in their order. Throws ValueError when the loss is not finite.
void fit(Module& model,
         Optimizer& optimizer,
         const LrSchedule& schedule,
         data::Loader& loader,
         const std::vector<TrainHook*>& hooks,
         const FitOptions& options);

/// Result of an evaluation.
struct Evaluation {
  int64_t correct = 0;
  int64_t total = 0;
  double loss = 0.0;  ///< mean cross-entropy
  double accuracy() const { return total == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(total); }
};

/// Runs `model` in eval mode over the loader's epoch 0 and restores its training flag.
Evaluation evaluate(Module& model, data::Loader& loader);

}  // namespace espalier::nn
