// SPDX-License-Identifier: Apache-2.0
/// The safetensors format: named tensors in one file that Python opens with one line.
/// 8 bytes header length (little endian), a JSON header, then the data, row-major, little endian.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <espalier/core/tensor.h>

namespace espalier {

/// What a file holds: tensors by name, and text metadata.
struct SafetensorsFile {
  std::map<std::string, Tensor> tensors;        ///< by name
  std::map<std::string, std::string> metadata;  ///< the header's `__metadata__`
  /// Tensors whose element type this library does not know, by name: the type's name, `F8_E4M3`.
  /// Whoever needs one of them names it; others are not kept from the rest of the file.
  std::map<std::string, std::string> unreadable = {};
};

/// Throws IoError naming `where`, the tensor and its type when it is among the unreadable ones.
void check_readable(const SafetensorsFile& file, const std::string& name, const std::string& where);

/// Reads a file. Throws IoError with the path for: missing, a directory, truncated, a header that
/// is too long or not JSON, a name given twice, offsets that overlap, leave holes
/// or point outside, a size that is not the shape's. BOOL is read as uint8; F16 and BF16 as
/// float32.
SafetensorsFile load_safetensors(const std::filesystem::path& path);
/// The same from memory; `name` stands in errors.
SafetensorsFile parse_safetensors(const std::vector<uint8_t>& bytes, const std::string& name);

/// Writes atomically (see io.h); the order is fixed (wide elements first, then by name), so equal
/// content gives equal bytes. `Nchw16n` tensors are stored in logical order. Throws IoError, and
/// ValueError for an undefined tensor or a name that is not UTF-8.
void save_safetensors(const std::filesystem::path& path, const SafetensorsFile& file);

}  // namespace espalier
