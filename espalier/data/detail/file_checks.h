// SPDX-License-Identifier: Apache-2.0
/// Checks before a file is handed to a library that tells little about what went wrong. Not a
/// public interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace espalier::data::detail {

/// The size of a readable regular file. Throws IoError naming `what` and the path when it is
/// missing, a directory or something else that is no file, may not be read, or is empty.
int64_t check_readable(const std::filesystem::path& path, std::string_view what);

/// Throws IoError naming `what` and the path unless it is a directory that may be listed.
void check_directory(const std::filesystem::path& path, std::string_view what);

/// Throws IoError naming `what` and where the class stands unless its name is UTF-8, as model files
/// and tables are.
void check_class_name(std::string_view name, const std::string& where, std::string_view what);

}  // namespace espalier::data::detail
