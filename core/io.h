// SPDX-License-Identifier: Apache-2.0
/// Files: whole-file reading with clear errors, and writing that is never seen half done.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// The whole content. Throws IoError naming `what` and the path: missing, a directory, no
/// permission, larger than `max_bytes`, or shorter than its size said.
std::vector<uint8_t> read_file(const std::filesystem::path& path,
                               std::string_view what,
                               int64_t max_bytes = int64_t{1} << 40);

/// Writes to a temporary name in the same folder, syncs, renames, syncs the folder: after a crash
/// the old or the new content is there, whole. Creates missing folders. Throws IoError.
void write_file(const std::filesystem::path& path, const void* bytes, int64_t count);
/// The same for a text.
void write_file(const std::filesystem::path& path, std::string_view text);

/// What the names of files that are still being written contain.
inline constexpr std::string_view kTemporaryMark = ".tmp-";
/// Removes what writers that were killed left in `folder` (`.NAME.tmp-*`). Call it only when no
/// other process writes there. A missing folder is no error.
void remove_temporary_files(const std::filesystem::path& folder);

}  // namespace espalier
