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
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads a file. Throws IoError with the path for: missing, a directory, truncated, a header that is too
/// long or not JSON, an unknown type, overlapping or out-of-range offsets, a size that is not the shape's.
SafetensorsFile load_safetensors(const std::filesystem::path& path);
/// The same from memory; `name` stands in errors.
SafetensorsFile parse_safetensors(const std::vector<uint8_t>& bytes, const std::string& name);

/// Writes atomically (see io.h): names sorted, so equal content gives equal bytes. `Nchw16n` tensors are
/// stored in logical order. Throws IoError.
void save_safetensors(const std::filesystem::path& path, const SafetensorsFile& file);

}  // namespace espalier
