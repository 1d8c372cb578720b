// SPDX-License-Identifier: Apache-2.0
/// How options look in help texts: one or two lines each, in two columns.
#pragma once

#include <string>
#include <vector>

#include <espalier/core/options/option.h>

namespace espalier::experiments {

/// Characters of a line of help at most.
inline constexpr size_t kHelpWidth = 100;

/// What goes before the choices, divided by commas, in the purpose of an option that has too many
/// to stand behind its name.
inline const std::string kOneOf = "; one of ";

/// What stands behind an option's name: its choices, `REAL`, `INT`, `TEXT`; nothing for flags.
std::string value_text(const Option& option);
/// What an option is for, its unit in parentheses and its default in brackets.
std::string purpose_text(const Option& option);
/// `name` and `text` side by side; both go on in further lines, cut at blanks, where they are long.
std::string help_lines(const std::string& name, const std::string& text);
/// A title and the lines of options.
std::string help_section(const std::string& title, const std::vector<Option>& options);

}  // namespace espalier::experiments
