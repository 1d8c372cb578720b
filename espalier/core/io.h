// SPDX-License-Identifier: Apache-2.0
/// Files: the one door for reading and the one for writing. Nothing hangs on a pipe, nothing is
/// ever seen half written. Several files that belong together: file_set.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/core/error.h>

namespace espalier {

/// A file can't be written: a disk that is full, a folder that may not be written to.
class WriteError : public IoError {
 public:
  using IoError::IoError;
};

/// The whole content. Throws IoError naming `what` and the path: missing, a folder, a pipe or a
/// device, no permission, larger than `max_bytes`, or shorter than its size said.
std::vector<uint8_t> read_file(const std::filesystem::path& path,
                               std::string_view what,
                               int64_t max_bytes = int64_t{1} << 40);
/// The first `count` bytes, or all of a shorter file: to tell what a file is. Throws like
/// `read_file`.
std::vector<uint8_t> read_start(const std::filesystem::path& path,
                                std::string_view what,
                                int64_t count);

/// What lies at a path.
enum class PathKind { Missing, File, Folder, Pipe, Device, Socket };
/// Follows links; a link to nothing is Missing. Throws IoError with the path when it can't be told:
/// a name that is too long, a folder that may not be searched.
PathKind path_kind(const std::filesystem::path& path);
/// "a directory", "a named pipe", ..: for errors.
std::string_view words_for(PathKind kind);

/// Writes a file, by what lies at `path`. Nothing or a file: to a temporary name in the same
/// folder, synced, renamed, the folder synced: after a crash the old or the new content is there,
/// whole; the mode stays as it was. A link: the file that it leads to. A pipe, a terminal or a
/// device such as /dev/null: written through. A folder, a disk, a socket, and a pipe that nobody
/// reads are refused. Creates missing folders, which go away again where the file can't be written,
/// and removes what killed writers left (`remove_temporary_files`). Throws WriteError.
void write_file(const std::filesystem::path& path, const void* bytes, int64_t count);
/// The same for a text.
void write_file(const std::filesystem::path& path, std::string_view text);

/// What the names of files that are still being written contain: `.NAME.tmp-PROCESS-NUMBER`.
inline constexpr std::string_view kTemporaryMark = ".tmp-";
/// Removes the temporary files that writers that were killed left in `folder`; those of processes
/// that are alive stay. A missing folder is no error.
void remove_temporary_files(const std::filesystem::path& folder);

}  // namespace espalier
