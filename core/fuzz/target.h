// SPDX-License-Identifier: Apache-2.0
/// What a fuzz target is: a reader, and valid files to start from. driver.cpp feeds it under
/// libFuzzer, rehearsal.cpp without. Not part of the library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace espalier::fuzz {

using Bytes = std::vector<uint8_t>;

/// Reads `input` as a hostile file. May return or throw Error; all else is a finding.
void read(const Bytes& input);
/// Inputs that `read` takes without an error, made on the spot.
std::vector<Bytes> seeds();

/// A folder in memory where the system has one, for readers that want a path; removed at exit.
const std::filesystem::path& folder();
/// Writes `bytes` to `name` in `folder()`, by plain means, and returns its path.
std::filesystem::path put(const std::filesystem::path& name, const Bytes& bytes);
/// The content of a file.
Bytes get(const std::filesystem::path& path);

}  // namespace espalier::fuzz
