// SPDX-License-Identifier: Apache-2.0
/// Comma-separated values as RFC 4180 has them: what the command writes, it reads again.
#pragma once

#include <string>
#include <vector>

namespace espalier::experiments {

/// A field, quoted where it has to be.
std::string csv_field(const std::string& text);

/// The records of a text, quotes taken off; lines end in LF or CRLF. Throws IoError naming `where`
/// for a quote that is not closed and for records of unequal length.
std::vector<std::vector<std::string>> parse_csv(const std::string& text, const std::string& where);

}  // namespace espalier::experiments
