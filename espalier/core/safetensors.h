// SPDX-License-Identifier: Apache-2.0
/// The safetensors format: named tensors in one file that Python opens with one line.
/// 8 bytes header length (little endian), a JSON header, then the data, row-major, little endian.
/// Files of ours carry a CRC-32 of all their bytes as `espalier.checksum` in the metadata, which is
/// checked whenever it is there (core/detail/checksum.h has the rule).
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <espalier/core/tensor.h>

namespace espalier {

/// What a file holds: tensors by name, and text metadata.
struct SafetensorsFile {
  std::map<std::string, Tensor> tensors;  ///< by name
  /// The header's `__metadata__`, without `espalier.checksum` and `espalier.format`: these are the
  /// reader's and the writer's own.
  std::map<std::string, std::string> metadata;
  /// Of a file that was read: it has a checksum, and it is right. Files from elsewhere have none,
  /// nor have those that earlier versions wrote.
  bool checked = false;
  /// Tensors whose element type this library does not know, by name: the type's name, `F8_E4M3`.
  /// Whoever needs one of them names it; others are not kept from the rest of the file.
  std::map<std::string, std::string> unreadable = {};
  /// Float32 tensors that the file holds as BF16: read so, or to be rounded and written so.
  std::set<std::string> bfloat16 = {};
};

/// Throws IoError naming `where`, the tensor and its type when it is among the unreadable ones.
void check_readable(const SafetensorsFile& file, const std::string& name, const std::string& where);

/// Reads a file. Throws IoError with the path for: missing, a directory, truncated, a header that
/// is too long or not JSON, a name given twice, offsets that overlap, leave holes
/// or point outside, a size that is not the shape's, a checksum that is not that of the bytes. BOOL
/// is read as uint8; F16 and BF16 as float32.
SafetensorsFile load_safetensors(const std::filesystem::path& path);
/// The same from memory; `name` stands in errors.
SafetensorsFile parse_safetensors(const std::vector<uint8_t>& bytes, const std::string& name);

/// Writes atomically (see io.h); the order is fixed (wide elements first, then by name), so equal
/// content gives equal bytes. `Nchw16n` tensors are stored in logical order. Throws IoError, and
/// ValueError for an undefined tensor, a name that is not UTF-8, a metadata key of the writer's
/// own, a name in `bfloat16` that is no float32 tensor's.
void save_safetensors(const std::filesystem::path& path, const SafetensorsFile& file);

}  // namespace espalier
