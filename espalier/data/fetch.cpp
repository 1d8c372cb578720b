// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/fetch.h>

#include <algorithm>
#include <string>
#include <system_error>

#include <espalier/core/error.h>
#include <espalier/core/file_set.h>
#include <espalier/data/dataset.h>
#include <espalier/data/detail/published.h>
#include <espalier/data/detail/record_counts.h>
#include <espalier/data/detail/unpack.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostUnpacked = int64_t{1} << 34;

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// How long an answer for this file may be.
FetchOptions options_for(const RemoteFile& file, const FetchOptions& options) {
  FetchOptions out = options;
  if (file.bytes > 0) {
    out.max_bytes = std::min(options.max_bytes, file.bytes + file.bytes / 16 + (1 << 20));
  }
  return out;
}

void tell_damaged(const fs::path& path, const FetchOptions& options) {
  if (options.on_damaged) options.on_damaged(path);
}

void download_to(const RemoteFile& file, const fs::path& path, const FetchOptions& options) {
  download(file.url, path, file.checksum, file.digest, options_for(file, options));
}

// The checks of one file, or of what one archive unpacks to.
std::vector<FileCheck> checks_of(const RemoteDataset& dataset,
                                 const RemoteFile& file,
                                 const fs::path& root) {
  return verify_dataset(RemoteDataset{dataset.name, dataset.folder, dataset.licence, {file}}, root);
}

// Files that nothing is known of count as there when their source has no checksum either.
bool is_good(const FileCheck& check, const RemoteFile& file) {
  return check.state == FileState::Right ||
         (check.state == FileState::Unknown && (file.checksum.empty() || !file.is_archive));
}

void unpack(const RemoteFile& file, const fs::path& folder) {
  const fs::path path = folder / file.file_name;
  FileSet files(folder);
  const std::vector<std::string> names = detail::unpack(path, files, 1, kMostUnpacked);
  for (const UnpackedFile& wanted : file.unpacked) {
    ESPALIER_CHECK(std::find(names.begin(), names.end(), wanted.name) != names.end(),
                   IoError,
                   "fetch: ",
                   path.string(),
                   " does not hold the file ",
                   wanted.name);
  }
  if (!file.checksum.empty()) {
    std::string sums;
    for (const std::string& name : names) {
      sums += cat(file_checksum(files.stage(name), Digest::Sha256), "  ", name, "\n");
    }
    files.write(kChecksumsFile, sums);
  }
  files.remove(file.file_name);
  files.commit();
}

void fetch_archive(const RemoteFile& file,
                   const std::vector<FileCheck>& checks,
                   const fs::path& folder,
                   const FetchOptions& options) {
  ESPALIER_CHECK(!is_there(folder / detail::kRecordsFile),
                 ValueError,
                 "fetch: ",
                 folder.string(),
                 " holds a set of somebody's making, which ",
                 detail::kRecordsFile,
                 " declares; it is not replaced. Fetch to another --data-root");
  for (const FileCheck& check : checks) {
    if (check.state == FileState::Damaged) tell_damaged(check.path, options);
  }
  const fs::path path = folder / file.file_name;
  if (is_there(path) && !file.checksum.empty() &&
      file_checksum(path, file.digest) != file.checksum) {
    tell_damaged(path, options);
    download_to(file, path, options);
  } else if (!is_there(path)) {
    download_to(file, path, options);
  }
  unpack(file, folder);
}

}  // namespace

void fetch_dataset(std::string_view name,
                   const std::filesystem::path& root,
                   const FetchOptions& options) {
  fetch_dataset(detail::published_dataset("fetch", name, root), root, options);
}

void fetch_dataset(const RemoteDataset& dataset,
                   const std::filesystem::path& root,
                   const FetchOptions& options) {
  const fs::path folder = root / dataset.folder;
  finish_file_set(folder);
  for (const RemoteFile& file : dataset.files) {
    const std::vector<FileCheck> checks = checks_of(dataset, file, root);
    const auto good = [&](const FileCheck& check) { return is_good(check, file); };
    if (file.is_archive) {
      if (!std::all_of(checks.begin(), checks.end(), good) || checks.empty()) {
        fetch_archive(file, checks, folder, options);
      }
      continue;
    }
    if (good(checks.front())) continue;  // the one that is read
    const fs::path path = folder / file.file_name;
    if (checks.front().state == FileState::Damaged) {
      // Under another name it would be read in the place of what is fetched.
      ESPALIER_CHECK(checks.front().path == path,
                     IoError,
                     "fetch: ",
                     checks.front().path.string(),
                     " is damaged (",
                     checks.front().detail,
                     ") and would be read in the place of ",
                     file.file_name,
                     ", which is what can be fetched; remove it first");
      tell_damaged(path, options);
    }
    download_to(file, path, options);
  }
}

}  // namespace espalier::data
