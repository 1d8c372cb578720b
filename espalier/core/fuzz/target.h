// SPDX-License-Identifier: Apache-2.0
/// What a fuzz target is: a reader, and valid files to start from. driver.cpp feeds it under
/// libFuzzer, rehearsal.cpp without. Not part of the library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace espalier::fuzz {

using Bytes = std::vector<uint8_t>;

/// Reads `input` as a hostile file. May return or throw Error; all else is a finding. It tells by
/// `saw` what it has read.
void read(const Bytes& input);
/// Inputs that `read` takes without an error, made on the spot.
std::vector<Bytes> seeds();
/// Inputs that `read` is to refuse by an Error, of any length: what libFuzzer, whose inputs are
/// limited, would never come to, such as a hundred thousand brackets. A target may leave it out.
[[gnu::weak]] std::vector<Bytes> refused();

/// Adds to what this `read` has seen: values that stand in memory afterwards.
void saw(const void* bytes, size_t count);
/// The same for bytes, and for a text.
void saw(const Bytes& bytes);
void saw(std::string_view text);
/// Reads twice, into memory that was filled differently before, and ends the process when the two
/// saw different values, or one an error and the other none: something was never written. Throws
/// what `read` throws.
void read_twice(const Bytes& input);
/// Feeds `refused()` and ends the process when one is taken.
void refuse_all();

/// A folder in memory where the system has one, for readers that want a path; removed at exit.
const std::filesystem::path& folder();
/// Writes `bytes` to `name` in `folder()`, by plain means, and returns its path.
std::filesystem::path put(const std::filesystem::path& name, const Bytes& bytes);
/// The content of a file.
Bytes get(const std::filesystem::path& path);

}  // namespace espalier::fuzz
