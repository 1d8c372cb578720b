// SPDX-License-Identifier: Apache-2.0
/// Two runs side by side: settings, results, layers.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace espalier::experiments {

/// `runs` (two paths), `status` (of each), `settings` (those that differ: name, values), `results`
/// (accuracy, loss, counts: name, values, difference) and `layers` (prunable weights of either:
/// name, weights, kept, sparsity). What one side lacks is null. Speeds of evaluations are left out:
/// they tell of two moments. Throws IoError for a folder that holds no run, and for bad files.
nlohmann::ordered_json compare_runs(const std::filesystem::path& first,
                                    const std::filesystem::path& second);

/// The same for people.
std::string compare_text(const nlohmann::ordered_json& compared);

}  // namespace espalier::experiments
