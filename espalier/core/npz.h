// SPDX-License-Identifier: Apache-2.0
/// numpy's .npy and .npz files.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <espalier/core/tensor.h>

namespace espalier {

/// Reads one array: versions 1 to 3, C or Fortran order, little endian f4 f8 i4 i8 u1 b1.
/// Throws IoError for anything else, truncation and sizes that don't fit.
Tensor load_npy(const std::filesystem::path& path);
/// Reads all arrays of a zip archive (stored or deflated).
std::map<std::string, Tensor> load_npz(const std::filesystem::path& path);
/// Writes arrays (uncompressed zip), atomically.
void save_npz(const std::filesystem::path& path, const std::map<std::string, Tensor>& arrays);

}  // namespace espalier
