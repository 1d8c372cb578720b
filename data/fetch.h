// SPDX-License-Identifier: Apache-2.0
/// Downloading data sets from where their authors publish them, checked and resumable. Nothing here
/// runs unless it is called; no data set is part of the library. Nothing is printed: progress goes
/// to a callback.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/data/checksum.h>

namespace espalier::data {

/// One file of a data set.
struct RemoteFile {
  std::string url;              ///< http, https or file
  std::string file_name;        ///< under the folder of the data set
  std::string checksum;         ///< hexadecimal; empty = not checked
  Digest digest = Digest::Md5;  ///< kind of `checksum`
  bool is_archive = false;      ///< unpacked, without its outermost folder, then removed
  std::vector<std::string> unpacked =
      {};  ///< of an archive: files that are there when it is unpacked
};

/// A data set that can be fetched.
struct RemoteDataset {
  std::string name;               ///< as `open_dataset` knows it
  std::string folder;             ///< under the data root
  std::string licence;            ///< what the authors say about use, in a few words
  std::vector<RemoteFile> files;  ///< all of them
};

/// All data sets with a published source: cifar10, cifar100, svhn, svhn+extra, mnist, fashion.
const std::vector<RemoteDataset>& remote_datasets();

/// How far a download is. `total` is 0 while unknown. Return false to stop.
using FetchProgress =
    std::function<bool(const std::string& file_name, int64_t received, int64_t total)>;

/// How patient a download is.
struct FetchOptions {
  FetchProgress progress = {};   ///< called as bytes arrive; empty: nobody is told
  int64_t connect_seconds = 20;  ///< to get a connection
  int64_t stall_seconds = 60;    ///< without a single byte
  int retries = 3;               ///< after a broken connection; each continues where it stopped
};

/// Downloads `url` (http, https or file) to `path`. Data goes to `path`.part, which a later call
/// continues; when it is whole and its checksum right, it gets its name. A part that can't be
/// continued is begun anew; one with a wrong checksum is removed. Throws IoError naming the url: no
/// connection, an answer other than success, a wrong checksum, stopped by `progress`, or a file
/// that can't be written.
void download(const std::string& url,
              const std::filesystem::path& path,
              const std::string& checksum = {},
              Digest digest = Digest::Md5,
              const FetchOptions& options = {});

/// Unpacks a tar (packed in any way) or zip archive into `folder`, leaving out the first `strip`
/// components of each name. Only regular files and folders: links and devices are an error, as are
/// absolute names,
/// `..`, a file that exists as a folder, and more than `max_bytes` in total. A file appears under
/// its name only when it is whole. Throws IoError naming the archive and the entry.
void extract_archive(const std::filesystem::path& archive,
                     const std::filesystem::path& folder,
                     int strip = 0,
                     int64_t max_bytes = int64_t{1} << 34);

/// Makes sure that `root`/<folder> holds the data set: what is there already is kept, the rest is
/// downloaded, checked and unpacked. Throws ValueError for a name without a source, IoError as
/// above.
void fetch_dataset(std::string_view name,
                   const std::filesystem::path& root,
                   const FetchOptions& options = {});
/// The same for a data set that is described by the caller (for example from a mirror).
void fetch_dataset(const RemoteDataset& dataset,
                   const std::filesystem::path& root,
                   const FetchOptions& options = {});

}  // namespace espalier::data
