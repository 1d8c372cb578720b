// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/given_options.h>

#include <charconv>
#include <cmath>

#include <toml++/toml.h>
#include <CLI/CLI.hpp>

#include <espalier/core/detail/nearest_name.h>
#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/experiments/settings/help.h>

namespace espalier::experiments {
namespace {

constexpr int64_t kMostConfigBytes = 1 << 20;

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

// `--name` with what turns it off; of a name that denies something, what it denies.
std::string flag_names(const std::string& name) {
  constexpr std::string_view kNo = "no-";
  const std::string opposite =
      name.starts_with(kNo) ? name.substr(kNo.size()) : std::string(kNo) + name;
  return "--" + name + ",!--" + opposite;
}

// The text form of a TOML value; a list becomes its items joined by commas.
std::string toml_text(const toml::node& node, const std::string& where) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) {
    ESPALIER_CHECK(std::isfinite(number->get()), ValueError, where, " is not a finite number");
    return number_text(number->get());
  }
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* list = node.as_array()) {
    std::string out;
    for (const toml::node& item : *list) {
      ESPALIER_CHECK(!item.is_array() && !item.is_table(), ValueError, where, " is a nested list");
      out += (out.empty() ? "" : ",") + toml_text(item, where);
    }
    return out;
  }
  throw ValueError(cat(where, ": expected a text, a number, true or false, or a list of these"));
}

// The library follows the parts of `a.a.a..` by recursion: too many of them are the end of the
// stack. Neither keys nor tables go over a line.
void check_dots(std::string_view text, const std::filesystem::path& path) {
  constexpr int64_t kMostDots = 1000;
  int64_t line = 1, dots = 0;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
      dots = 0;
    }
    if (c == '.') ++dots;
    ESPALIER_CHECK(dots <= kMostDots,
                   IoError,
                   "config: ",
                   path.string(),
                   ", line ",
                   line,
                   ": expected at most ",
                   kMostDots,
                   " dots in a line, got more");
  }
}

toml::table parse_toml(const std::filesystem::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "config", kMostConfigBytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  check_dots(text, path);
  try {
    return toml::parse(text, path.string());
  } catch (const toml::parse_error& error) {
    throw IoError(cat("config: ",
                      path.string(),
                      ", line ",
                      static_cast<int64_t>(error.source().begin.line),
                      ": ",
                      std::string(error.description())));
  }
}

}  // namespace

void show_required(const Verb& verb, const std::string& name) {
  verb.app().get_option("--" + name)->option_text("FILE REQUIRED");
}

void GivenOptions::declare(const Verb& verb,
                           const std::vector<Option>& options,
                           const std::string& group) {
  for (const Option& option : options) {
    if (!declared_.emplace(option.name, option).second) continue;
    const std::string name = option.name;
    CLI::Option* flag = nullptr;
    if (option.kind == OptionKind::Flag) {
      flag = verb.app().add_flag_function(
          flag_names(name),
          [this, name](int64_t count) { given_[name] = count > 0 ? "true" : "false"; },
          purpose_text(option));
    } else {
      flag = verb.app().add_option_function<std::string>(
          "--" + name,
          [this, name](const std::string& text) { given_[name] = text; },
          purpose_text(option));
      flag->option_text(value_text(option));
    }
    flag->group(group);
    // So that a flag can be appended to a command from elsewhere.
    flag->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
}

void GivenOptions::read_config(const std::filesystem::path& path) {
  for (const auto& [toml_key, node] : parse_toml(path)) {
    const std::string key(toml_key.str());
    const std::string where = cat("config: ", path.string(), ": '", key, "'");
    if (!declared_.contains(key)) {
      std::vector<std::string> names;
      for (const auto& [name, option] : declared_) names.push_back(name);
      const auto nearest = espalier::detail::nearest_name(key, names);
      throw ValueError(cat(where,
                           node.is_table() ? " is a table; options stand in the file without one"
                                           : " is no known option",
                           node.is_table() ? std::string()
                           : nearest       ? cat("; the nearest is '", names[*nearest], "'")
                                     : std::string("; they are named like the verb's flags")));
    }
    given_.emplace(key, toml_text(node, where));
  }
}

std::set<std::string> GivenOptions::names() const {
  std::set<std::string> out;
  for (const auto& [name, text] : given_) out.insert(name);
  return out;
}

std::map<std::string, std::string> GivenOptions::given_of(
    const std::vector<Option>& options) const {
  std::map<std::string, std::string> out;
  for (const Option& option : options) {
    if (const std::string* text = find(option.name)) out[option.name] = *text;
  }
  return out;
}

const std::string* GivenOptions::find(const std::string& name) const {
  const auto it = given_.find(name);
  return it == given_.end() ? nullptr : &it->second;
}

}  // namespace espalier::experiments
