// SPDX-License-Identifier: Apache-2.0
/// SaveCheckpoints: writes what a killed training goes on from.
#pragma once

#include <filesystem>

#include <espalier/nn/train/checkpoint.h>

namespace espalier::nn {

/// When SaveCheckpoints writes.
struct SaveCheckpointsOptions {
  int64_t every_steps = 0;   ///< after steps whose number is a multiple; 0: none
  int64_t every_epochs = 1;  ///< at the ends of epochs; 0: none
};

/// Writes model, optimizer, all hooks of the training, random positions and progress to a file
/// (checkpoint.h). It comes last in the list, so that the others have acted. `{step}` and `{epoch}`
/// in the name stand for the steps and whole epochs done: then every checkpoint has a file of its
/// own, else the newest replaces the one before, atomically. Has no state.
///
///     if (std::filesystem::exists(file)) {
///       options.resume = load_checkpoint(file, {model, optimizer, hooks});
///     }
///     fit(model, optimizer, schedule, loader, hooks, options);
class SaveCheckpoints : public TrainHook {
 public:
  /// Throws ValueError for an empty name and negative numbers.
  explicit SaveCheckpoints(std::filesystem::path file, const SaveCheckpointsOptions& options = {});

  void after_step(TrainState& state) override;
  void end_of_epoch(TrainState& state) override;

 private:
  void save(const TrainState& state, int64_t epochs) const;

  std::filesystem::path file_;
  SaveCheckpointsOptions options_;
};

}  // namespace espalier::nn
