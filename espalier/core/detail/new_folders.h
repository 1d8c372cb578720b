// SPDX-License-Identifier: Apache-2.0
/// Folders that are made for a file, and go away again when the file can't be written.
#pragma once

#include <filesystem>
#include <system_error>
#include <vector>

namespace espalier::detail {

/// Makes a folder and what is missing above it. Without `keep`, its end removes those again that it
/// made and that are empty.
class NewFolders {
 public:
  /// What went wrong is in `error()`.
  explicit NewFolders(const std::filesystem::path& folder);
  ~NewFolders();
  NewFolders(const NewFolders&) = delete;
  NewFolders& operator=(const NewFolders&) = delete;

  const std::error_code& error() const { return error_; }
  /// They stay.
  void keep() { made_.clear(); }

 private:
  std::vector<std::filesystem::path> made_;  // the innermost last
  std::error_code error_;
};

}  // namespace espalier::detail
