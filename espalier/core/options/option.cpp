// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/options/option.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include <espalier/core/error.h>

namespace espalier {
namespace {

template <class T>
bool parse(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc{} && result.ptr == end;
}

// What was meant by 90 where a fraction is asked for.
std::string as_fraction(double value, double min, double max) {
  const double fraction = value / 100.0;
  const bool meant = max <= 1.0 && value > 1.0 && fraction >= min && fraction <= max;
  return meant ? cat("; ", detail::text_of_real(fraction), "?") : "";
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

void check_needs(const std::string& owner,
                 const std::vector<Option>& options,
                 const Option& option,
                 const void* settings) {
  const OptionNeed& need = option.needs;
  if (need.option.empty() || option.text_of(settings) == "false") return;
  const auto other = std::ranges::find(options, need.option, &Option::name);
  ESPALIER_CHECK(other != options.end(),
                 ValueError,
                 owner,
                 ": option ",
                 option.name,
                 " needs an option that is not declared, ",
                 need.option);
  const std::string text = other->text_of(settings);
  if (need.is_met(text)) return;
  std::string wanted;
  for (const std::string& value : need.values) {
    if (!value.empty()) wanted += (wanted.empty() ? " " : " or ") + value;
  }
  if (need.other_than && !wanted.empty()) wanted = " other than" + wanted;
  throw ValueError(cat(owner,
                       ": --",
                       option.name,
                       " needs --",
                       need.option,
                       wanted,
                       text.empty() ? ", which is not given" : ", got " + text));
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

bool OptionNeed::is_met(const std::string& text) const {
  if (option.empty()) return true;
  const bool listed = std::ranges::find(values, text) != values.end();
  return listed != other_than;
}

void Option::check(const std::string& owner, const std::string& text) const {
  const std::string what = cat(owner, ": option ", name);
  switch (kind) {
    case OptionKind::Real: {
      double value = 0.0;
      ESPALIER_CHECK(parse(text, value) && std::isfinite(value),
                     ValueError,
                     what,
                     " expects a number, got '",
                     text,
                     "'");
      ESPALIER_CHECK(value >= min && value <= max,
                     ValueError,
                     what,
                     " expects ",
                     detail::text_of_real(min),
                     " .. ",
                     detail::text_of_real(max),
                     ", got ",
                     text,
                     as_fraction(value, min, max));
      return;
    }
    case OptionKind::Integer: {
      int64_t value = 0;
      ESPALIER_CHECK(
          parse(text, value), ValueError, what, " expects a whole number, got '", text, "'");
      ESPALIER_CHECK(static_cast<double>(value) >= min && static_cast<double>(value) <= max,
                     ValueError,
                     what,
                     " expects ",
                     static_cast<int64_t>(min),
                     " .. ",
                     static_cast<int64_t>(max),
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
      ESPALIER_CHECK(std::ranges::find(choices, text) != choices.end(),
                     ValueError,
                     what,
                     " expects one of ",
                     joined(choices),
                     "; got '",
                     text,
                     "'");
      return;
    case OptionKind::Text:
      return;
  }
}

void read_options(const std::string& owner,
                  const std::vector<Option>& options,
                  const OptionTexts& given,
                  void* settings) {
  for (const auto& [name, text] : given) {
    const auto option = std::ranges::find(options, name, &Option::name);
    if (option == options.end()) {
      std::vector<std::string> names;
      for (const Option& one : options) names.push_back(one.name);
      throw ValueError(cat(owner,
                           ": no option '",
                           name,
                           "'. It has: ",
                           names.empty() ? std::string("none") : joined(names)));
    }
    option->check(owner, text);
    option->set(settings, text);
  }
  for (const Option& option : options) {
    if (given.contains(option.name)) check_needs(owner, options, option, settings);
  }
}

OptionTexts texts_of(const std::vector<Option>& options, const void* settings) {
  OptionTexts texts;
  for (const Option& option : options) texts[option.name] = option.text_of(settings);
  return texts;
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

std::string join_names(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& one : names) out += (out.empty() ? "" : ",") + one;
  return out;
}

namespace detail {

std::string text_of_real(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

double real_of_text(const std::string& text) {
  double value = 0.0;
  parse(text, value);
  return value;
}

int64_t integer_of_text(const std::string& text) {
  int64_t value = 0;
  parse(text, value);
  return value;
}

}  // namespace detail
}  // namespace espalier
