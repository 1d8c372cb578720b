// SPDX-License-Identifier: Apache-2.0
/// The weights that a path stands for, and what the run beside them tells of its data.
#pragma once

#include <filesystem>
#include <optional>

#include <espalier/experiments/settings/train_settings.h>

namespace espalier::experiments {

/// A file of weights as it is; of a run folder its trained network. Throws IoError for a folder
/// that holds no run, ValueError for a run that has not finished.
std::filesystem::path weights_at(const std::filesystem::path& path);

/// The settings of the run that the folder of `file` holds, as far as today's `train` knows them;
/// nothing where no run.json is. Throws IoError for a bad one.
std::optional<TrainSettings> settings_beside(const std::filesystem::path& file);

}  // namespace espalier::experiments
