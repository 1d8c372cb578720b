// SPDX-License-Identifier: Apache-2.0
/// Texts from elsewhere (names of files, classes, runs) as a terminal may show them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier::detail {

/// True for valid UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
bool is_utf8(std::string_view text);

/// `text` with what could command a terminal spelt out: control characters, those that turn the
/// direction of writing, and bytes that are no UTF-8, as \u001b and \xff. Line ends and tabs stay.
std::string printable(std::string_view text);

/// `printable` with line ends and tabs spelt out too: for names, where they have no business.
std::string printable_line(std::string_view text);

/// `printable`, on one line and at most `most` bytes of it, with what was left out counted.
std::string excerpt(std::string_view text, size_t most = 80);

/// The first `most` of several things in an error, and how many more there are: `a, b and 398
/// more`.
std::string some_of(const std::vector<std::string>& things,
                    size_t most = 3,
                    std::string_view between = ", ");

}  // namespace espalier::detail
