// SPDX-License-Identifier: Apache-2.0
/// A training at one instant, as one file: network, optimizer, random positions, hooks, progress.
#pragma once

#include <string>
#include <vector>

#include <espalier/core/safetensors.h>
#include <espalier/nn/train/fit.h>

namespace espalier::experiments {

/// What a checkpoint is taken of, and what it is loaded into.
struct TrainingParts {
  nn::Module& model;
  nn::Optimizer& optimizer;
  std::vector<nn::TrainHook*> hooks = {};  ///< those with state, in a fixed order
};

/// Everything that a continued run needs to end with the same bits. Tensors share memory.
SafetensorsFile take_checkpoint(const TrainingParts& parts,
                                const nn::TrainProgress& progress,
                                double seconds);

/// Puts everything back, and returns where training stood. Throws ValueError when it does not fit,
/// IoError when something is missing.
nn::TrainProgress restore_checkpoint(const SafetensorsFile& checkpoint, const TrainingParts& parts);

/// Throws IoError naming `where` for a file that is no checkpoint, and for weights and buffers that
/// are not finite.
void check_checkpoint(const SafetensorsFile& checkpoint, const std::string& where);

/// Seconds of training that the checkpoint tells.
double checkpoint_seconds(const SafetensorsFile& checkpoint);

}  // namespace espalier::experiments
