// SPDX-License-Identifier: Apache-2.0
/// Shared objects that bring methods, models and data sets of their own (core/plugin.h).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace espalier::experiments {

/// Loads a plugin and lets it register what it brings; it stays loaded. Throws IoError for a file
/// that is no shared object or no plugin, ValueError for a plugin of another version of the library
/// and for what its registering throws, with the file's name.
void load_plugin(const std::filesystem::path& path);

/// Takes every `--plugin FILE` or `--plugin=FILE` out of the arguments, wherever it stands, and
/// loads the files in their order. Throws as `load_plugin`, and ValueError for one without a file.
std::vector<std::string> load_plugins(const std::vector<std::string>& arguments);

}  // namespace espalier::experiments
