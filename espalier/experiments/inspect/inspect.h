// SPDX-License-Identifier: Apache-2.0
/// What is in a file: tensors, layers with their sparsity, and what it tells of itself.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace espalier::experiments {

/// `path`, `kind`, `bytes`; of what the file has `metadata` (texts by name), `network` (how it is
/// built), `training` (where a checkpoint stands), `layers` (name, kind, weights, kept, sparsity),
/// `steps` (of a plan) and `tensors` (name, shape, dtype, zeros). Throws IoError for a file that
/// can't be read, NotImplemented for one of a kind that is not read here.
nlohmann::ordered_json inspect(const std::filesystem::path& path);

/// The same for people.
std::string inspect_text(const nlohmann::ordered_json& found);

}  // namespace espalier::experiments
