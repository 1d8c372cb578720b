// SPDX-License-Identifier: Apache-2.0
/// What stands before a training's first step: data, network, masks, and where its run would go.
/// Made without writing anything.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <espalier/data/dataset.h>
#include <espalier/experiments/console.h>
#include <espalier/experiments/inputs/networks.h>
#include <espalier/experiments/run/step_memory.h>
#include <espalier/experiments/run/training.h>

namespace espalier::experiments {

/// See above.
struct PreparedTraining {
  nlohmann::ordered_json record;  ///< `settings` of run.json
  std::shared_ptr<const data::Dataset> train;
  std::shared_ptr<const data::Dataset> validation;  ///< held out of `train`; null: nothing is
  std::shared_ptr<const data::Dataset> test;
  Network network;                 ///< with its weights and masks, before any pruning
  std::vector<std::string> notes;  ///< for people
  std::filesystem::path path;      ///< the run's folder, perhaps of a run that is there
};

/// Finds all that can be wrong with a request besides its pruning. Throws ValueError, IoError.
PreparedTraining prepare_training(const TrainRequest& request, Console& console);

/// A network as the settings name it, for the samples and classes of `dataset`.
Network network_for(const TrainSettings& settings, const data::Dataset& dataset, uint64_t seed = 0);

/// The settings of a request that has nothing but its method, in the form of run.json.
nlohmann::ordered_json default_settings(const TrainRequest& request);

/// The memory of the training's steps; batches that the loader makes ahead are in it.
StepMemory memory_of_steps(const TrainSettings& settings,
                           Network& network,
                           const nn::Optimizer& optimizer,
                           const data::Dataset& dataset);
/// Samples of a step.
int64_t samples_of_step(const TrainSettings& settings, const data::Dataset& dataset);

}  // namespace espalier::experiments
