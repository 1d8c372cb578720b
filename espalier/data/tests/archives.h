// SPDX-License-Identifier: Apache-2.0
/// Archives that tests make, and what they unpack to.
#pragma once

#include <archive_entry.h>

#include <set>
#include <string>
#include <vector>

#include "fixtures.h"

namespace espalier::data::testing {

/// `size` bytes that no compressor makes smaller; the same at each call.
Bytes noise(size_t size);

/// An archive's member: a regular file, or one entry of another type (AE_IFLNK ..) that leads to
/// `link`.
struct Entry {
  std::string name;
  Bytes content = {};
  unsigned type = AE_IFREG;
  std::string link = {};
};

/// Writes a .tar.gz (or a .zip) of `entries`.
void make_archive(const std::filesystem::path& path,
                  const std::vector<Entry>& entries,
                  bool zip = false);

/// The regular files below `folder`, relative to it.
std::set<std::string> files_below(const std::filesystem::path& folder);

}  // namespace espalier::data::testing
