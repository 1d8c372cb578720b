// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/record_counts.h>

#include <map>
#include <optional>
#include <sstream>

#include <espalier/core/error.h>
#include <espalier/core/io.h>

namespace espalier::data::detail {
namespace {

constexpr int64_t kMostBytes = 1 << 16;

// What records.txt says of a file; nothing without a records.txt.
std::optional<int64_t> declared_records(std::string_view what,
                                        const std::filesystem::path& folder,
                                        const std::string& name) {
  const std::filesystem::path path = folder / kRecordsFile;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  const std::vector<uint8_t> bytes = read_file(path, what, kMostBytes);
  std::istringstream lines(std::string(bytes.begin(), bytes.end()));
  std::map<std::string, int64_t> declared;
  std::string file;
  for (int64_t records = 0; lines >> file;) {
    ESPALIER_CHECK(lines >> records && records > 0 && declared.emplace(file, records).second,
                   IoError,
                   what,
                   ": ",
                   path.string(),
                   " expects lines of a file's name and its number of records; bad at '",
                   file,
                   "'");
  }
  const auto found = declared.find(name);
  ESPALIER_CHECK(
      found != declared.end(), IoError, what, ": ", path.string(), " does not name ", name);
  return found->second;
}

}  // namespace

void check_records(std::string_view what,
                   const std::filesystem::path& folder,
                   const std::string& name,
                   int64_t records,
                   int64_t record_bytes,
                   const std::vector<OfficialFile>& official) {
  if (const std::optional<int64_t> declared = declared_records(what, folder, name)) {
    ESPALIER_CHECK(records == *declared,
                   IoError,
                   what,
                   ": ",
                   (folder / name).string(),
                   " has ",
                   records,
                   " records, ",
                   kRecordsFile,
                   " beside it says ",
                   *declared,
                   ". Is it truncated?");
    return;
  }
  int64_t published = 0;
  std::string whole;  // another file that is as published
  for (const OfficialFile& file : official) {
    std::error_code error;
    if (file.name == name) {
      published = file.records;
    } else if (std::filesystem::file_size(folder / file.name, error) ==
                   static_cast<uintmax_t>(file.records * record_bytes) &&
               !error) {
      whole = file.name;
    }
  }
  ESPALIER_CHECK(
      records == published || whole.empty(),
      IoError,
      what,
      ": ",
      (folder / name).string(),
      " has ",
      records,
      " records, the published file has ",
      published,
      " (as ",
      whole,
      " beside it). Is it truncated? If it is a subset of your making, declare it: a line '",
      name,
      " ",
      records,
      "' in ",
      kRecordsFile,
      " beside it, and one for each other file");
}

}  // namespace espalier::data::detail
