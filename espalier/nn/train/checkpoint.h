// SPDX-License-Identifier: Apache-2.0
/// A training at one instant, as one file: network, optimizer, random positions, hooks, progress. A
/// run that goes on from it ends with the same bits as the one that was not killed. The hook that
/// writes such files is nn/train/hooks/save_checkpoints.h.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <espalier/core/safetensors.h>
#include <espalier/nn/train/fit.h>

namespace espalier::nn {

/// What a checkpoint is taken of, and what it is loaded into.
struct TrainingParts {
  Module& model;         ///< what is trained
  Optimizer& optimizer;  ///< what moves its weights
  /// In a fixed order; those without state may be left out at the end, or on both sides.
  std::vector<TrainHook*> hooks = {};
};

/// Everything that a continued run needs to end with the same bits. Tensors share memory.
SafetensorsFile take_checkpoint(const TrainingParts& parts, const TrainProgress& progress);

/// Puts everything back, and returns where training stood: what `FitOptions::resume` wants. Throws
/// ValueError when it does not fit, or when it holds the state of more hooks than are given,
/// IoError when something is missing.
TrainProgress restore_checkpoint(const SafetensorsFile& checkpoint, const TrainingParts& parts);

/// Throws IoError naming `where` for a file that is no checkpoint, and for weights and buffers that
/// are not finite.
void check_checkpoint(const SafetensorsFile& checkpoint, const std::string& where);

/// Writes a checkpoint, atomically (core/io.h). Throws IoError.
void save_checkpoint(const std::filesystem::path& path,
                     const TrainingParts& parts,
                     const TrainProgress& progress);

/// Reads one and puts everything back, as `restore_checkpoint`. Throws IoError for a file that
/// can't be read or is no checkpoint.
TrainProgress load_checkpoint(const std::filesystem::path& path, const TrainingParts& parts);

}  // namespace espalier::nn
