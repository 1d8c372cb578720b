// SPDX-License-Identifier: Apache-2.0
/// Several files that belong together, replaced as one: a reader meets all old or all new ones,
/// whenever the writer is killed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

namespace espalier {

/// New files for one folder. They are written beside the old ones under temporary names; `commit`
/// notes in a journal what goes where, and moves them. Killed before the journal is there, the old
/// files stand; after it, the next FileSet of that folder moves the rest before it does anything
/// else, and until then `check_file_set` refuses the folder.
///
///     FileSet files(folder);
///     files.write("train.bin", bytes.data(), size);
///     std::fopen(files.stage("test.bin").c_str(), "wb") ...
///     files.remove("all.tar.gz");
///     files.commit();
class FileSet {
 public:
  /// Creates `folder` if it is missing, finishes what a killed writer noted there, and removes what
  /// another one left. Throws IoError, also while another process replaces files there.
  explicit FileSet(std::filesystem::path folder);
  /// Without `commit` nothing has changed, and folders that were made for it are gone.
  ~FileSet();
  FileSet(const FileSet&) = delete;
  FileSet& operator=(const FileSet&) = delete;

  /// Adds a file of this content. `name` is relative to the folder and may lie below it. Throws
  /// IoError for a name that leaves the folder, or where something lies that is no plain file.
  void write(const std::filesystem::path& name, const void* bytes, int64_t count);
  /// The same for a text.
  void write(const std::filesystem::path& name, std::string_view text);
  /// Adds a file that the caller writes itself, and closes before `commit`, to the returned path.
  std::filesystem::path stage(const std::filesystem::path& name);
  /// Notes a file that goes away with the replacement, after all others are on the disk: an archive
  /// that was unpacked. It may be missing.
  void remove(const std::filesystem::path& name);
  /// Puts all files in their places and syncs them. Files that are there keep their modes. Throws
  /// IoError; then the old files stand, or the next FileSet goes on.
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Throws IoError when the files of `folder` are old and new ones mixed, for a command that
/// replaced them was stopped. Readers of sets call it first. A missing folder is no error.
void check_file_set(const std::filesystem::path& folder);
/// Finishes what a killed writer had noted in `folder`; nothing where there is no such thing.
/// Throws IoError.
void finish_file_set(const std::filesystem::path& folder);
/// True for a missing or empty folder, and one with nothing in it but what a killed writer left.
bool holds_nothing(const std::filesystem::path& folder);

}  // namespace espalier
