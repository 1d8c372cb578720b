// SPDX-License-Identifier: Apache-2.0
/// How many records a file without a header ought to have: a CIFAR file cut between two records
/// looks whole, so its size is compared with what is known from elsewhere. Not a public interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::data::detail {

/// Declares a subset: a line `FILE RECORDS` for each file of the folder.
inline constexpr std::string_view kRecordsFile = "records.txt";

/// A file of the official data set.
struct OfficialFile {
  std::string name;     ///< in the folder
  int64_t records = 0;  ///< as published
};

/// Checks that the file `name` of `folder`, which has `records` records of `record_bytes` bytes, is
/// whole. What records.txt says counts; without it, a folder in which another file has its
/// published number of records is the official data set, of which every file is whole; a folder
/// without any such file is a subset of somebody's making. Throws IoError naming `what` and the
/// file.
void check_records(std::string_view what,
                   const std::filesystem::path& folder,
                   const std::string& name,
                   int64_t records,
                   int64_t record_bytes,
                   const std::vector<OfficialFile>& official);

}  // namespace espalier::data::detail
