// SPDX-License-Identifier: Apache-2.0
/// What someone may have meant by a name that is not known: for errors.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::detail {

/// Insertions, deletions and substitutions of single characters, and swaps of two neighbours,
/// between two words, no part of which is edited twice (Damerau-Levenshtein's optimal string
/// alignment).
size_t edit_distance(std::string_view a, std::string_view b);

/// The place of the name nearest to `wanted`, the first of equals; nothing when none is so near
/// that it may be meant: within a third of the longer one's length, at least one character.
std::optional<size_t> nearest_name(std::string_view wanted, const std::vector<std::string>& names);

/// The names that may be meant by `wanted`, at most `most` of them, the nearest first.
std::vector<std::string> nearest_names(std::string_view wanted,
                                       const std::vector<std::string>& names,
                                       size_t most);

}  // namespace espalier::detail
