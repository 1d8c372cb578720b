// SPDX-License-Identifier: Apache-2.0
/// What a training would do, without doing it.
#pragma once

#include <string>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/console.h>
#include <espalier/experiments/run/training.h>

namespace espalier::experiments {

/// `model`, `data`, `method`, sizes (`params`, `macs`, `train_samples`, `test_samples`), `batch`,
/// `epochs`, `steps`, `training_memory` (bytes of a step) and `memory_free` (null: not known),
/// `out`, `status` (`new`, `goes on`, `is finished`) and `files`, those that would be written.
/// Nothing is written. Throws as run_training for a request that is wrong, and where `out` holds
/// another run.
nlohmann::ordered_json plan_training(const TrainRequest& request, Console& console);

/// The same for people.
std::string plan_text(const nlohmann::ordered_json& plan);

/// `out` and `status` alone.
std::pair<std::string, std::string> place_of_training(const TrainRequest& request,
                                                      Console& console);

}  // namespace espalier::experiments
