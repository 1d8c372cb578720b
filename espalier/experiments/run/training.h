// SPDX-License-Identifier: Apache-2.0
/// One training as the command runs it: from settings to a finished run folder, continued from the
/// newest checkpoint when there is one.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/console.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments {

/// What is to be trained.
struct TrainRequest {
  /// Besides those of pruning methods.
  TrainSettings settings = {};
  /// Names of the options that were asked for, be it at their default: what a file of weights
  /// decides otherwise is an error.
  std::set<std::string> given = {};
  /// The pruning method with its settings; nothing: none prunes.
  std::optional<prune::MethodChoice> method = {};
  /// Where the run's folder is made when `out` names none; its name then tells the settings.
  std::filesystem::path root = "runs";
  /// For another process that is at work in the run's folder; else that is an error.
  bool wait = false;
};

/// The method of `train --prune NAME` with the options that were given. Throws ValueError for
/// options without a method (an empty name), and as prune::choose_method.
std::optional<prune::MethodChoice> chosen_method(const std::string& name, const OptionTexts& given);

/// Trains, or continues, or returns at once when the folder holds the finished run. Returns the
/// figures of the trained network under the names of `eval --json`, with `epochs`, `steps`,
/// `seconds`, `out` and `status` (`trained`, `continued`, `was finished`). Throws ValueError and
/// IoError for bad settings and inputs, RunFailure for what fails on the way.
nlohmann::ordered_json run_training(const TrainRequest& request, Console& console);

}  // namespace espalier::experiments
