// SPDX-License-Identifier: Apache-2.0
/// The structure of a MATLAB v5 file, checked before a library that trusts the lengths in it reads
/// it. Not a public interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace espalier::data::detail {

/// Throws IoError naming `what` and the path unless the file of `size` bytes is one of
/// little-endian order whose elements lie within it and are plain arrays: flags of a class of
/// numbers, at most 8 dimensions, a name of at most 63 bytes, and as many bytes of data, all of
/// them there (packed ones are unpacked to count them), as the dimensions ask for. Source:
/// MathWorks, "MAT-File Format", Level 5.
void check_mat_structure(const std::filesystem::path& path, int64_t size, std::string_view what);

}  // namespace espalier::data::detail
