// SPDX-License-Identifier: Apache-2.0
/// Names of files that are still being written, and which of them nobody writes any more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include <sys/stat.h>

#include <espalier/core/detail/descriptor.h>

namespace espalier::detail {

/// A fresh name in the folder of `target` that no other file has: `.NAME.tmp-PROCESS-NUMBER`, NAME
/// shortened where the whole would be longer than file systems take.
std::filesystem::path temporary_name(const std::filesystem::path& target);

/// What the temporary names of a FileSet's new files begin with.
inline constexpr std::string_view kStagedStart = ".espalier-files";

/// True for a name of that form.
bool is_temporary_name(std::string_view name);

/// An open file under a temporary name, removed unless it was renamed to its final one. Others see
/// by its lock that it is being written.
class TemporaryFile {
 public:
  /// Check `file().open()`: the reason of a failure is in errno.
  explicit TemporaryFile(const std::filesystem::path& target);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  Descriptor& file() { return file_; }
  /// False after a failure, whose reason is in errno.
  bool rename_to(const std::filesystem::path& target);

 private:
  std::filesystem::path path_;
  Descriptor file_;
  bool renamed_ = false;
};

/// `write_file` where there is nothing or a plain file, whose `struct stat` is `replaced`. Errors
/// name `told`. Throws WriteError.
void replace_file(const std::filesystem::path& path,
                  const std::filesystem::path& told,
                  const struct stat* replaced,
                  const void* bytes,
                  int64_t count);

/// True when the process that made the temporary file at `path` is gone.
bool is_stale(const std::filesystem::path& path);

/// `remove_temporary_files` for the first file that this process writes to `folder`: once, so that
/// a folder of many files isn't listed for each of them.
void sweep_once(const std::filesystem::path& folder);

}  // namespace espalier::detail
