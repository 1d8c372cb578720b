// SPDX-License-Identifier: Apache-2.0
/// The hook of a training that writes its run folder: metrics and checkpoints.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <espalier/data/loader.h>
#include <espalier/experiments/console.h>
#include <espalier/experiments/inputs/networks.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/nn/train/checkpoint.h>
#include <espalier/nn/train/hooks/validation.h>

namespace espalier::experiments {

/// Throws ValueError naming the tensor when a weight or a buffer of `model` is no finite number,
/// told as found after `when`.
void check_network(nn::Module& model, const std::string& when);

/// Evaluates and records each epoch, and saves checkpoints. Comes last in the list of hooks, so
/// that it sees what others did. Throws ValueError where weights, buffers or an evaluation are no
/// finite numbers, and Interrupted, with a checkpoint saved, once a stop was asked for.
class Recorder : public nn::TrainHook {
 public:
  /// `checkpoint_every`: also within epochs, in steps; 0: at their ends alone. `epochs` with those
  /// that a pruner repeats. `validation` comes before it in the list of hooks; null: none.
  Recorder(RunFolder& folder,
           Network& network,
           data::Loader& test,
           const nn::Validation* validation,
           nn::TrainingParts parts,
           int64_t checkpoint_every,
           int64_t epochs,
           Progress& progress);

  /// Takes over the lines and the seconds of a checkpoint, and writes the metrics files anew.
  void continue_from(const SafetensorsFile& checkpoint);
  /// Of training and evaluation since the start, without interruptions.
  double seconds() const;
  /// True once a step was made in this process.
  bool has_stepped() const { return has_stepped_; }

  void before_training(nn::TrainState& state) override;
  void after_step(nn::TrainState& state) override;
  void end_of_epoch(nn::TrainState& state) override;

 private:
  void save(const nn::TrainState& state);
  /// `epoch 3/30`, the running one.
  LinePart epoch_part() const;
  void heed_interrupt(const nn::TrainState& state, bool saved);

  RunFolder& folder_;
  Network& network_;
  data::Loader& test_;
  const nn::Validation* validation_;
  nn::TrainingParts parts_;
  int64_t checkpoint_every_;
  int64_t epochs_;
  Progress& progress_;
  std::vector<EpochMetrics> metrics_;
  double seconds_before_ = 0.0;
  bool has_stepped_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace espalier::experiments
