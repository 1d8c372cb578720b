// SPDX-License-Identifier: Apache-2.0
/// run.json as it is written, with a checksum of its own text, and as it is read: every member that
/// a reader relies on has its type, and the checksum is right, or the file is refused by name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace espalier::experiments {

/// Reads a run.json. Throws IoError naming the file and the member: no JSON object, settings or
/// results that are no single values, figures that are no numbers, timing that is none, a checksum
/// that is not that of the text. Without a checksum, as earlier versions wrote it, it is taken.
nlohmann::ordered_json read_run_json(const std::filesystem::path& path);

/// Writes it whole, its checksum last. Throws IoError.
void write_run_json(const std::filesystem::path& path, nlohmann::ordered_json run);

/// What a run.json tells of its own bytes: `text` has the checksum that belongs to it, another one,
/// or none, as those that earlier versions wrote.
enum class RunJsonState : uint8_t { Whole, Changed, Unchecked };
RunJsonState check_run_json(const std::string& text);

/// Size and CRC-32 of a file, as `files` of run.json tells them. Throws IoError.
nlohmann::ordered_json file_record(const std::filesystem::path& path);

/// What is wrong with the file `name` of a run's folder beside what `files` of its run.json tells:
/// "is missing, ..", "is not the file that run.json tells ..", or nothing. Nothing too where
/// nothing is told of it. Throws IoError when it can't be read.
std::string wrong_beside_record(const nlohmann::ordered_json& run,
                                const std::filesystem::path& folder,
                                const char* name);

/// Throws IoError naming the first figure that the results of a finished run lack, and the file,
/// its run.json.
void check_finished_results(const nlohmann::ordered_json& results,
                            const std::filesystem::path& path);

}  // namespace espalier::experiments
