// SPDX-License-Identifier: Apache-2.0
/// Unpacking an archive into a set of files that is not final yet. Not a public interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <espalier/core/file_set.h>

namespace espalier::data::detail {

/// Stages what extract_archive would put into the folder of `files`, and returns the names. Throws
/// IoError naming the archive and the entry.
std::vector<std::string> unpack(const std::filesystem::path& archive,
                                FileSet& files,
                                int strip,
                                int64_t max_bytes);

}  // namespace espalier::data::detail
