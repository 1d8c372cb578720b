// SPDX-License-Identifier: Apache-2.0
/// run.json as it is read: every member that a reader relies on has its type, or the file is
/// refused by name.
#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

namespace espalier::experiments {

/// Reads a run.json. Throws IoError naming the file and the member: no JSON object, settings or
/// results that are no single values, figures that are no numbers, timing that is none.
nlohmann::ordered_json read_run_json(const std::filesystem::path& path);

/// Throws IoError naming the first figure that the results of a finished run lack. A loss that is
/// no number is written as null.
void check_finished_results(const nlohmann::ordered_json& run, const std::filesystem::path& path);

}  // namespace espalier::experiments
