// SPDX-License-Identifier: Apache-2.0
/// Trainings one after another, and what came out of them: means and spreads over seeds.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/console.h>
#include <espalier/experiments/run/training.h>
#include <espalier/experiments/sweep/grid.h>

namespace espalier::experiments {

/// One training of a sweep.
struct SweepRun {
  OptionTexts varied;    ///< what it has that others have not
  TrainRequest request;  ///< with the folder that it goes to
};

/// Makes those that are missing, in their order; a finished one is read, one that was stopped goes
/// on. One that fails is told and does not stop the rest. Returns `runs` (settings that vary,
/// folder, status, figures or `error`) and `groups` (those that differ in their seed only:
/// settings, number of runs, mean and standard deviation of accuracy, loss and sparsity, MACs).
/// Throws Interrupted.
nlohmann::ordered_json run_sweep(const std::vector<SweepRun>& runs, Console& console);

/// The groups as a table: mean +- one standard deviation.
std::string sweep_text(const nlohmann::ordered_json& swept);

}  // namespace espalier::experiments
