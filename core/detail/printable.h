// SPDX-License-Identifier: Apache-2.0
/// Texts from elsewhere (names of files, classes, runs) as a terminal may show them.
#pragma once

#include <string>
#include <string_view>

namespace espalier::detail {

/// True for valid UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
bool is_utf8(std::string_view text);

/// `text` with what could command a terminal spelt out: control characters, those that turn the
/// direction of writing, and bytes that are no UTF-8, as \u001b and \xff. Line ends and tabs stay.
std::string printable(std::string_view text);

/// `printable`, on one line and at most `most` bytes of it, with what was left out counted.
std::string excerpt(std::string_view text, size_t most = 80);

}  // namespace espalier::detail
