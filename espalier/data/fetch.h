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

/// A file that an archive unpacks to.
struct UnpackedFile {
  std::string name;           ///< in the folder of the data set
  std::string checksum = {};  ///< MD5 of its content as published; empty when none is known
  int64_t bytes = 0;          ///< its size as published; 0 when not known
};

/// One file of a data set.
struct RemoteFile {
  std::string url;              ///< http, https or file
  std::string file_name;        ///< under the folder of the data set
  std::string checksum;         ///< hexadecimal; empty = not checked
  Digest digest = Digest::Md5;  ///< kind of `checksum`
  int64_t bytes = 0;            ///< its size, about: an answer longer by more than a sixteenth is
                                ///< given up. 0 = not known
  bool is_archive = false;      ///< unpacked, without its outermost folder, then removed
  std::vector<UnpackedFile> unpacked = {};  ///< what must be in it; of a packed file that is read
                                            ///< as it is (MNIST's), what it is when unpacked
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
  FetchProgress progress = {};           ///< called as bytes arrive; empty: nobody is told
  int64_t connect_seconds = 20;          ///< to get a connection
  int64_t stall_seconds = 60;            ///< so long slower than that is as good as broken
  int64_t min_bytes_per_second = 1024;   ///< on average
  int64_t max_seconds = 12 * 3600;       ///< for one file, with all attempts
  int64_t max_bytes = int64_t{1} << 34;  ///< for one file whose size is not known
  int retries = 3;  ///< after a broken connection; each continues where it stopped
  /// Called with a file that is there and is damaged, before it is fetched again; may be empty.
  std::function<void(const std::filesystem::path&)> on_damaged = {};
};

/// Downloads `url` (http, https or file) to `path`, behind links where it is one. Data goes to
/// `path`.part, which a later call continues; when it is whole and its checksum right, it gets its
/// name. A part that can't be continued is begun anew; one with a wrong checksum is removed. Throws
/// IoError naming the url: no connection, an answer other than success, one that drips, does not
/// end, or is longer than `options` allow, a wrong checksum, stopped by `progress`, a file that
/// can't be written, or something that is there and is no file.
void download(const std::string& url,
              const std::filesystem::path& path,
              const std::string& checksum = {},
              Digest digest = Digest::Md5,
              const FetchOptions& options = {});

/// Unpacks a tar (packed in any way) or zip archive into `folder`, leaving out the first `strip`
/// components of each name. Only regular files and folders: links and devices are an error, as are
/// absolute names, `..`, a file that exists as a folder, and more than `max_bytes` in total. All
/// files appear under their names once all are whole and on the disk, or none. Throws IoError
/// naming the archive and the entry.
void extract_archive(const std::filesystem::path& archive,
                     const std::filesystem::path& folder,
                     int strip = 0,
                     int64_t max_bytes = int64_t{1} << 34);

/// Beside unpacked files: their SHA-256, as `sha256sum -c` reads it, written when they came out of
/// an archive whose own checksum was right.
inline constexpr std::string_view kChecksumsFile = "SHA256SUMS";

/// What a file is, compared with what was published.
enum class FileState : uint8_t {
  Right,    ///< its checksum is the published one
  Damaged,  ///< it is another
  Missing,  ///< it is not there
  Unknown,  ///< it is there, and nothing is known to compare it with
};
/// `right`, `damaged`, `missing`, `unknown`.
std::string_view name(FileState state);

/// One file of a data set, looked at.
struct FileCheck {
  std::filesystem::path path;            ///< where it lies, or should
  FileState state = FileState::Missing;  ///< what it is
  std::string detail;                    ///< of a damaged one: what was expected and what came
};

/// Compares every file of a data set below `root` with its published checksum (of unpacked files,
/// where no such is known, with what kChecksumsFile says, and with the published size); reads all,
/// changes nothing. idx files may have other spellings (see idx.h), each of which is looked at; the
/// one that is read comes first. Throws IoError for a folder whose files were being replaced when
/// that was stopped.
std::vector<FileCheck> verify_dataset(const RemoteDataset& dataset,
                                      const std::filesystem::path& root);
/// The same by name, in the folder where open_dataset finds it. Throws ValueError for a name
/// without a source.
std::vector<FileCheck> verify_dataset(std::string_view name, const std::filesystem::path& root);

/// Makes sure that `root`/<folder> holds the data set: what is there already and has the right
/// checksum is kept; the rest is downloaded, checked and unpacked. A damaged file is replaced once
/// the right one is whole. By name, the folder is the one where open_dataset finds files of it, if
/// any. Throws ValueError for a name without a source and for a folder that holds
/// a set of somebody's making (records.txt), IoError as above.
void fetch_dataset(std::string_view name,
                   const std::filesystem::path& root,
                   const FetchOptions& options = {});
/// The same for a data set that is described by the caller (for example from a mirror).
void fetch_dataset(const RemoteDataset& dataset,
                   const std::filesystem::path& root,
                   const FetchOptions& options = {});

}  // namespace espalier::data
