// SPDX-License-Identifier: Apache-2.0
/// FileSet: several files of a folder that are replaced together. Killed at any instant, a writer
/// leaves the old files, or a folder that says that it is half replaced, which the next writer
/// finishes. Not a public interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

namespace espalier::data::detail {

/// New files for `folder`. They are written to a hidden folder in it, synced, made final by one
/// rename of that folder, and then moved to their names.
class FileSet {
 public:
  /// Makes the folder if it is missing, finishes what a writer that was killed had made final
  /// there, and removes what one had not. Throws IoError, also while another process replaces files
  /// there.
  explicit FileSet(const std::filesystem::path& folder);
  /// Without `commit` nothing has changed.
  ~FileSet();
  FileSet(const FileSet&) = delete;
  FileSet& operator=(const FileSet&) = delete;

  /// Where the caller writes a file of this name, which is relative to the folder and may lie below
  /// it. Throws IoError where something lies that is no plain file.
  std::filesystem::path stage(const std::filesystem::path& name);
  /// Adds a file of this content.
  void write(const std::filesystem::path& name, const void* bytes, int64_t count);
  /// The same for a text.
  void write(const std::filesystem::path& name, std::string_view text);
  /// A file that goes away once all others are on the disk: an archive that was unpacked.
  void remove(const std::filesystem::path& name);
  /// Replaces: staged names get the new content, other files stay. Throws IoError; then the old
  /// files stand, or the next FileSet goes on.
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Throws IoError when a writer was killed while it moved files to `folder`: they may be of two
/// sets. A missing folder is no error.
void check_file_set(const std::filesystem::path& folder);

/// Finishes what a killed writer had made final in `folder`; nothing where there is no such thing.
void finish_file_set(const std::filesystem::path& folder);

/// True for a missing or empty folder, and one with nothing in it but what a killed writer left.
bool holds_nothing(const std::filesystem::path& folder);

}  // namespace espalier::data::detail
