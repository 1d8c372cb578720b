// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/new_folders.h>

namespace espalier::detail {

namespace fs = std::filesystem;

NewFolders::NewFolders(const fs::path& folder) {
  std::error_code ignored;
  fs::path at;
  for (const fs::path& part : folder) {
    at /= part;
    if (fs::exists(at, ignored)) continue;
    if (fs::create_directory(at, error_)) made_.push_back(at);
    if (error_) break;
  }
  // Where something is that is no folder, or goes away meanwhile, the system's words say it.
  if (!error_) fs::create_directories(folder, error_);
}

NewFolders::~NewFolders() {
  std::error_code ignored;
  while (!made_.empty() && fs::remove(made_.back(), ignored)) made_.pop_back();
}

}  // namespace espalier::detail
