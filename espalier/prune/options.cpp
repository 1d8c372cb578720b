// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>

#include <espalier/core/error.h>
#include <espalier/prune/options.h>

namespace espalier::prune {
namespace {

/// The shortest text that reads back as `value`.
std::string shortest(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return {text, end};
}

template <class T>
bool parse(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc{} && result.ptr == end;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

void check_value(const std::string& owner, const Option& option, const std::string& text) {
  const std::string what = cat(owner, ": option ", option.name);
  switch (option.kind) {
    case OptionKind::Real: {
      double value = 0.0;
      ESPALIER_CHECK(parse(text, value) && std::isfinite(value),
                     ValueError,
                     what,
                     " expects a number, got '",
                     text,
                     "'");
      ESPALIER_CHECK(value >= option.min && value <= option.max,
                     ValueError,
                     what,
                     " expects ",
                     shortest(option.min),
                     " .. ",
                     shortest(option.max),
                     ", got ",
                     text);
      return;
    }
    case OptionKind::Integer: {
      int64_t value = 0;
      ESPALIER_CHECK(
          parse(text, value), ValueError, what, " expects a whole number, got '", text, "'");
      ESPALIER_CHECK(
          static_cast<double>(value) >= option.min && static_cast<double>(value) <= option.max,
          ValueError,
          what,
          " expects ",
          static_cast<int64_t>(option.min),
          " .. ",
          static_cast<int64_t>(option.max),
          ", got ",
          text);
      return;
    }
    case OptionKind::Flag:
      ESPALIER_CHECK(text == "true" || text == "false",
                     ValueError,
                     what,
                     " expects true or false, got '",
                     text,
                     "'");
      return;
    case OptionKind::Choice:
      ESPALIER_CHECK(
          std::find(option.choices.begin(), option.choices.end(), text) != option.choices.end(),
          ValueError,
          what,
          " expects one of ",
          joined(option.choices),
          "; got '",
          text,
          "'");
      return;
    case OptionKind::Text:
      return;
  }
}

}  // namespace

std::string name(OptionKind kind) {
  switch (kind) {
    case OptionKind::Real:
      return "real";
    case OptionKind::Integer:
      return "integer";
    case OptionKind::Flag:
      return "flag";
    case OptionKind::Choice:
      return "choice";
    case OptionKind::Text:
      return "text";
  }
  throw ValueError("name: unknown option kind");
}

Option real_option(std::string name,
                   double default_value,
                   double min,
                   double max,
                   std::string unit,
                   std::string help) {
  return {.name = std::move(name),
          .kind = OptionKind::Real,
          .default_value = shortest(default_value),
          .unit = std::move(unit),
          .help = std::move(help),
          .min = min,
          .max = max};
}

Option integer_option(std::string name,
                      int64_t default_value,
                      int64_t min,
                      int64_t max,
                      std::string unit,
                      std::string help) {
  return {.name = std::move(name),
          .kind = OptionKind::Integer,
          .default_value = std::to_string(default_value),
          .unit = std::move(unit),
          .help = std::move(help),
          .min = static_cast<double>(min),
          .max = static_cast<double>(max)};
}

Option flag_option(std::string name, std::string help) {
  return {.name = std::move(name),
          .kind = OptionKind::Flag,
          .default_value = "false",
          .unit = "",
          .help = std::move(help)};
}

Option choice_option(std::string name, std::vector<std::string> choices, std::string help) {
  const std::string first = choices.front();
  return {.name = std::move(name),
          .kind = OptionKind::Choice,
          .default_value = first,
          .unit = "",
          .help = std::move(help),
          .choices = std::move(choices)};
}

Option text_option(std::string name, std::string default_value, std::string help) {
  return {.name = std::move(name),
          .kind = OptionKind::Text,
          .default_value = std::move(default_value),
          .unit = "",
          .help = std::move(help)};
}

bool is_met(const OptionNeed& need, const std::string& text) {
  if (need.option.empty()) return true;
  const bool listed = std::find(need.values.begin(), need.values.end(), text) != need.values.end();
  return listed != need.other_than;
}

Option needing(Option option, OptionNeed need) {
  option.needs = std::move(need);
  return option;
}

std::vector<std::string> split_names(const std::string& text) {
  constexpr const char* kBlanks = " \t\r\n";
  std::vector<std::string> names;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const size_t first = text.find_first_not_of(kBlanks, begin);
    if (first < end) {
      names.push_back(text.substr(first, text.find_last_not_of(kBlanks, end - 1) + 1 - first));
    }
    begin = end + 1;
  }
  return names;
}

OptionValues::OptionValues(std::string owner,
                           std::vector<Option> declared,
                           const std::map<std::string, std::string>& given)
    : owner_(std::move(owner)), declared_(std::move(declared)) {
  std::vector<std::string> names;
  for (const Option& option : declared_) {
    names.push_back(option.name);
    values_[option.name] = option.default_value;
  }
  for (const auto& [name, text] : given) {
    ESPALIER_CHECK(values_.contains(name),
                   ValueError,
                   owner_,
                   ": no option '",
                   name,
                   "'. It has: ",
                   names.empty() ? "none" : joined(names));
    values_[name] = text;
  }
  for (const Option& option : declared_) check_value(owner_, option, values_[option.name]);
  for (const Option& option : declared_) {
    if (given.contains(option.name)) check_need(option);
  }
}

void OptionValues::check_need(const Option& option) const {
  const OptionNeed& need = option.needs;
  if (need.option.empty() || values_.at(option.name) == "false") return;
  const auto other = values_.find(need.option);
  ESPALIER_CHECK(other != values_.end(),
                 ValueError,
                 owner_,
                 ": option ",
                 option.name,
                 " needs an option that is not declared, ",
                 need.option);
  ESPALIER_CHECK(is_met(need, other->second),
                 ValueError,
                 owner_,
                 ": option ",
                 option.name,
                 " has no effect here: it needs ",
                 need.option,
                 need.other_than ? " other than " : " ",
                 joined(need.values),
                 ", got ",
                 other->second);
}

const std::string& OptionValues::value(const std::string& name, OptionKind kind) const {
  for (const Option& option : declared_) {
    if (option.name != name) continue;
    ESPALIER_CHECK(option.kind == kind,
                   TypeError,
                   owner_,
                   ": option ",
                   name,
                   " is declared as ",
                   prune::name(option.kind),
                   " but read as ",
                   prune::name(kind));
    return values_.at(name);
  }
  throw ValueError(cat(owner_, ": option ", name, " is read but not declared"));
}

double OptionValues::real(const std::string& name) const {
  double result = 0.0;
  parse(value(name, OptionKind::Real), result);
  return result;
}

int64_t OptionValues::integer(const std::string& name) const {
  int64_t result = 0;
  parse(value(name, OptionKind::Integer), result);
  return result;
}

bool OptionValues::flag(const std::string& name) const {
  return value(name, OptionKind::Flag) == "true";
}

const std::string& OptionValues::text(const std::string& name) const {
  for (const Option& option : declared_) {
    if (option.name == name && option.kind == OptionKind::Choice) {
      return value(name, OptionKind::Choice);
    }
  }
  return value(name, OptionKind::Text);
}

}  // namespace espalier::prune
