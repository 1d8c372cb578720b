// SPDX-License-Identifier: Apache-2.0
/// The command that makes a run again, and the defaults that it leaves out.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace espalier::experiments::report {

/// The defaults of `train` and of the method, if there is one, that the settings of a run.json
/// name.
nlohmann::ordered_json default_settings(const nlohmann::ordered_json& settings);

/// `espalier train ..` with every setting of a run.json that is not its default, and where it
/// starts from and writes to. The number of threads and other things that change no result are left
/// out, and what a file set in vain: momentum beside `--optimizer adam`.
std::string train_command(const nlohmann::ordered_json& settings);

/// `espalier experiment run NAME --preset P` for a results folder of that name; empty for others.
std::string experiment_command(const std::filesystem::path& results);

/// A word as a POSIX shell reads it: quoted where it has to be.
std::string shell_word(const std::string& text);

}  // namespace espalier::experiments::report
