// SPDX-License-Identifier: Apache-2.0
/// Text for terminals.
#pragma once

#include <cstddef>
#include <string>

namespace espalier::detail {

/// Breaks `text` at spaces to lines of at most `columns`, indented but for the first by `indent`,
/// where the first is to begin too. A longer word has a line of its own.
std::string wrapped(const std::string& text, size_t indent, size_t columns = 100);

}  // namespace espalier::detail
