// SPDX-License-Identifier: Apache-2.0
/// What the control group of this process and those above it allow, of version 1 or 2. Not a public
/// interface.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace espalier::detail {

/// The first line of a file in words; one empty word when it can't be read.
std::vector<std::string> first_words(const std::filesystem::path& file);

/// A positive number among words; nothing for `max`, -1 and what is not there.
std::optional<double> positive_number(const std::vector<std::string>& words, size_t at);

/// Reads what the group of a folder allows; `unified`: of version 2.
using GroupReader =
    std::function<std::optional<double>(const std::filesystem::path& folder, bool unified)>;

/// The least that `read` finds of `controller` (`cpu`, `memory`) in the group of this process and
/// those above it, in either version; nothing where none says a number. `root` stands before all
/// paths that are read.
std::optional<double> least_of_groups(const std::filesystem::path& root,
                                      const std::string& controller,
                                      const GroupReader& read);

}  // namespace espalier::detail
