// SPDX-License-Identifier: Apache-2.0
/// What a file is, told by its first bytes: for errors about a file that is not what was expected.
/// It recognizes, it reads nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace espalier {

/// What `file_kind` recognizes.
enum class FileKind : uint8_t {
  Unknown,
  Empty,
  GitLfsPointer,  ///< the text that stands for a file which Git LFS did not fetch
  Html,           ///< a web page, often an error that was saved under another file's name
  Json,           ///< text that begins with `{`
  Text,           ///< other ASCII text, often an error that was saved under another file's name
  Safetensors,    ///< a header's length, then `{`
  TorchZip,       ///< `torch.save` since PyTorch 1.6
  Pickle,         ///< Python's pickle, as older `torch.save` and CIFAR's Python version
  Npz,            ///< NumPy arrays in a zip
  Npy,            ///< one NumPy array
  Zip,
  Gzip,
  Bzip2,
  Xz,
  Zstd,
  Tar,
  Hdf5,    ///< Keras, and MATLAB from v7.3 on
  Matlab,  ///< MATLAB v5
  Idx,     ///< MNIST's format
  Parquet,
  Png,
  Jpeg,
  Bmp,
  WebP,
  Gif,
  Tiff,
  Heif,  ///< HEIC and AVIF pictures
  Pdf,
};

/// How many bytes of a file `file_kind` looks at.
inline constexpr size_t kFileKindBytes = 1024;

/// The kind of a file that begins with these bytes: its first kFileKindBytes, or all when it has
/// fewer. Never throws.
FileKind file_kind(std::span<const uint8_t> first_bytes);
/// The same for a path; Unknown when it is not a regular file or can't be read. Never waits for a
/// pipe.
FileKind file_kind(const std::filesystem::path& path);

/// `a Git LFS pointer`, with its article; empty for Unknown.
std::string_view name(FileKind kind);

/// A sentence for the end of an error about a file that should have been of another kind: ". It is
/// a Git LFS pointer, not the file that it stands for; `git lfs pull` fetches that". Tells how to
/// go on where that is known; empty for Unknown.
std::string told(FileKind kind);

}  // namespace espalier
