// SPDX-License-Identifier: Apache-2.0
/// One training as the command runs it: from settings to a finished run folder, continued from the
/// newest checkpoint when there is one.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/console.h>
#include <espalier/prune/options.h>

namespace espalier::experiments {

/// What is to be trained.
struct TrainRequest {
  /// Of `train_options()`.
  prune::OptionValues values;
  /// Names of those of them that were asked for, be it at their default: what a file of weights
  /// decides otherwise is an error.
  std::set<std::string> given = {};
  /// Options of the pruning method that were given, as texts; must be empty without a method.
  std::map<std::string, std::string> pruning = {};
  /// Where the run's folder is made when `out` names none; its name then tells the settings.
  std::filesystem::path root = "runs";
  /// For another process that is at work in the run's folder; else that is an error.
  bool wait = false;
};

/// Trains, or continues, or returns at once when the folder holds the finished run. Returns the
/// figures of the trained network under the names of `eval --json`, with `epochs`, `steps`,
/// `seconds`, `out` and `status` (`trained`, `continued`, `was finished`). Throws ValueError and
/// IoError for bad settings and inputs, RunFailure for what fails on the way.
nlohmann::ordered_json run_training(const TrainRequest& request, Console& console);

}  // namespace espalier::experiments
