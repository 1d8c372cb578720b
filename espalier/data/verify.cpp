// SPDX-License-Identifier: Apache-2.0
// What lies on the disk, compared with what was published.
#include <algorithm>
#include <map>
#include <sstream>
#include <system_error>

#include <espalier/core/error.h>
#include <espalier/core/file_set.h>
#include <espalier/core/io.h>
#include <espalier/data/dataset.h>
#include <espalier/data/detail/neighbours.h>
#include <espalier/data/detail/published.h>
#include <espalier/data/fetch.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;
using Sums = std::map<std::string, std::string>;

// What kChecksumsFile says, by name; a line that is none of its kind says nothing.
Sums recorded_sums(const fs::path& folder) {
  constexpr int64_t kMostBytes = 1 << 20;
  constexpr size_t kDigits = 64;
  Sums out;
  const fs::path path = folder / kChecksumsFile;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return out;
  const std::vector<uint8_t> bytes = read_file(path, "verify", kMostBytes);
  std::istringstream lines(std::string(bytes.begin(), bytes.end()));
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > kDigits + 2) out[line.substr(kDigits + 2)] = line.substr(0, kDigits);
  }
  return out;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error) || error;
}

FileCheck check(const fs::path& path, const std::string& expected, Digest digest, int64_t bytes) {
  if (!is_there(path)) return {path, FileState::Missing, {}};
  try {
    std::error_code error;
    const auto size = static_cast<int64_t>(fs::file_size(path, error));
    if (!error && bytes > 0 && size != bytes) {
      return {path, FileState::Damaged, cat("has ", size, " bytes, published are ", bytes)};
    }
    if (expected.empty()) return {path, FileState::Unknown, {}};
    const std::string got = file_checksum(path, digest);
    if (got == expected) return {path, FileState::Right, {}};
    return {path,
            FileState::Damaged,
            cat(digest == Digest::Md5 ? "MD5 " : "SHA-256 ", got, ", published is ", expected)};
  } catch (const IoError& error) {
    return {path, FileState::Damaged, error.what()};
  }
}

void check_archive(const RemoteFile& file, const fs::path& folder, std::vector<FileCheck>& out) {
  const Sums sums = recorded_sums(folder);
  for (const UnpackedFile& unpacked : file.unpacked) {
    const auto recorded = sums.find(unpacked.name);
    const bool use_record = unpacked.checksum.empty() && recorded != sums.end();
    out.push_back(check(folder / unpacked.name,
                        use_record ? recorded->second : unpacked.checksum,
                        use_record ? Digest::Sha256 : Digest::Md5,
                        unpacked.bytes));
  }
}

// Under every spelling that is there; the one that is read comes first.
void check_file(const RemoteFile& file, const fs::path& folder, std::vector<FileCheck>& out) {
  const size_t before = out.size();
  if (!file.unpacked.empty()) {
    const UnpackedFile& plain = file.unpacked.front();
    for (const std::string& name : detail::spellings(plain.name)) {
      std::error_code error;
      if (!is_there(folder / name) || fs::is_directory(folder / name, error)) continue;
      out.push_back(name.ends_with(".gz")
                        ? check(folder / name, file.checksum, file.digest, 0)
                        : check(folder / name, plain.checksum, Digest::Md5, plain.bytes));
    }
  }
  if (out.size() == before) {
    out.push_back(check(folder / file.file_name, file.checksum, file.digest, 0));
  }
}

}  // namespace

RemoteDataset detail::published_dataset(std::string_view what,
                                        std::string_view name,
                                        const std::filesystem::path& root) {
  std::string names;
  for (RemoteDataset dataset : remote_datasets()) {
    names += (names.empty() ? "" : ", ") + dataset.name;
    if (dataset.name != name) continue;
    for (const DatasetInfo& info : known_datasets()) {
      if (info.name != name) continue;
      if (const auto found = find_dataset(info, root)) {
        dataset.folder = found->lexically_relative(root).string();
      }
    }
    return dataset;
  }
  throw ValueError(cat(what, ": no source is known for '", name, "'; known are ", names));
}

std::string_view name(FileState state) {
  switch (state) {
    case FileState::Right:
      return "right";
    case FileState::Damaged:
      return "damaged";
    case FileState::Missing:
      return "missing";
    case FileState::Unknown:
      return "unknown";
  }
  return "";
}

std::vector<FileCheck> verify_dataset(const RemoteDataset& dataset,
                                      const std::filesystem::path& root) {
  const fs::path folder = root / dataset.folder;
  check_file_set(folder);
  std::vector<FileCheck> out;
  for (const RemoteFile& file : dataset.files) {
    file.is_archive ? check_archive(file, folder, out) : check_file(file, folder, out);
  }
  return out;
}

std::vector<FileCheck> verify_dataset(std::string_view name, const std::filesystem::path& root) {
  return verify_dataset(detail::published_dataset("verify", name, root), root);
}

}  // namespace espalier::data
