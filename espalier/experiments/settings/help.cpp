// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/help.h>

#include <algorithm>

namespace espalier::experiments {
namespace {

constexpr size_t kColumn = 31;     // where texts begin
constexpr size_t kMostValue = 28;  // of choices beside a name; longer lists go into the text

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

bool fits_beside(const Option& option) {
  return joined(option.choices, "|").size() <= kMostValue;
}

}  // namespace

std::string value_text(const Option& option) {
  switch (option.kind) {
    case OptionKind::Real:
      return "REAL";
    case OptionKind::Integer:
      return "INT";
    case OptionKind::Flag:
      return "";
    case OptionKind::Choice:
      return fits_beside(option) ? joined(option.choices, "|") : "TEXT";
    case OptionKind::Text:
      return "TEXT";
  }
  return "";
}

std::string purpose_text(const Option& option) {
  std::string out = option.help;
  if (option.kind == OptionKind::Choice && !fits_beside(option)) {
    out += kOneOf + joined(option.choices, ", ");
  }
  if (!option.unit.empty()) out += " (" + option.unit + ")";
  const bool off = option.kind == OptionKind::Flag && option.default_value == "false";
  if (!off && !option.of_machine && !option.default_value.empty()) {
    out +=
        " [" + (option.kind == OptionKind::Flag ? std::string("on") : option.default_value) + "]";
  }
  return out;
}

std::string help_lines(const std::string& name, const std::string& text) {
  std::string line = "  " + name;
  std::string out;
  if (line.size() + 2 > kColumn) {
    out = line + "\n";
    line.clear();
  }
  line.resize(kColumn, ' ');
  bool empty = true;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!empty && line.size() + 1 + word.size() > kHelpWidth) {
      out += line + "\n";
      line.assign(kColumn, ' ');
      empty = true;
    }
    line += (empty ? "" : " ") + word;
    empty = false;
    begin = end + 1;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return out + line + "\n";
}

std::string help_section(const std::string& title, const std::vector<Option>& options) {
  std::string out = title + ":\n";
  for (const Option& option : options) {
    const std::string value = value_text(option);
    out +=
        help_lines("--" + option.name + (value.empty() ? "" : " " + value), purpose_text(option));
  }
  return out;
}

}  // namespace espalier::experiments
