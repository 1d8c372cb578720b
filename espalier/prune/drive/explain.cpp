// SPDX-License-Identifier: Apache-2.0
/// The registry as JSON and as text.
#include <charconv>

#include <nlohmann/json.hpp>

#include <espalier/core/detail/wrapped.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::prune {
namespace {

using Json = nlohmann::ordered_json;

// Not std::stod, which follows the program's locale.
template <class T>
T number(const std::string& text) {
  T value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Json option_json(const Option& option) {
  Json json = {{"name", option.name},
               {"kind", name(option.kind)},
               {"default", option.default_value},
               {"unit", option.unit},
               {"help", option.help}};
  if (option.kind == OptionKind::Real) {
    json["default"] = number<double>(option.default_value);
    json["min"] = option.min;
    json["max"] = option.max;
  } else if (option.kind == OptionKind::Integer) {
    json["default"] = number<int64_t>(option.default_value);
    json["min"] = static_cast<int64_t>(option.min);
    json["max"] = static_cast<int64_t>(option.max);
  } else if (option.kind == OptionKind::Flag) {
    json["default"] = option.default_value == "true";
  } else if (option.kind == OptionKind::Choice) {
    json["choices"] = option.choices;
  }
  return json;
}

Json to_json(const Method& method) {
  const MethodFacts facts = method.facts();
  Json options = Json::array();
  for (const Option& option : method.options) options.push_back(option_json(option));
  return {{"name", method.name},
          {"title", method.title},
          {"paper", method.paper},
          {"year", method.year},
          {"speedup", name(method.speedup())},
          {"when", name(method.when)},
          {"how", name(method.how)},
          {"one_shot", facts.one_shot},
          {"global", facts.global},
          {"data_free", facts.data_free},
          {"patterns", method.patterns},
          {"idea", method.idea},
          {"formula", method.formula},
          {"schedule", method.schedule},
          {"differs", method.differs},
          {"use_when", method.use_when},
          {"not_when", method.not_when},
          {"options", options}};
}

std::string row(std::string label, const std::string& text) {
  constexpr size_t kIndent = 11;
  label.resize(kIndent, ' ');
  return label + espalier::detail::wrapped(text, kIndent) + "\n";
}

std::string range(const Option& option) {
  if (option.kind == OptionKind::Choice) {
    std::string names;
    for (const std::string& one : option.choices) names += (names.empty() ? "" : ", ") + one;
    return ", one of " + names;
  }
  const Json json = option_json(option);
  if (!json.contains("min")) return "";
  return ", " + json["min"].dump() + " .. " + json["max"].dump();
}

}  // namespace

std::string methods_json(const std::vector<const Method*>& which) {
  Json list = Json::array();
  for (const Method* method : which) list.push_back(to_json(*method));
  return list.dump(2) + "\n";
}

std::string methods_json() {
  std::vector<const Method*> all;
  for (const Method& method : methods()) all.push_back(&method);
  return methods_json(all);
}

std::string method_json(const Method& method) {
  return to_json(method).dump(2) + "\n";
}

std::string explain(const Method& method) {
  std::string patterns;
  for (const std::string& one : method.patterns) patterns += (patterns.empty() ? "" : ", ") + one;
  const MethodFacts facts = method.facts();
  const std::string place =
      cat(name(method.speedup()),
          " | ",
          method.when == When::Runtime ? "at run time" : name(method.when) + " training",
          " | ",
          name(method.how),
          facts.one_shot ? " | one-shot" : " | in rounds",
          facts.global ? " | global" : " | per layer",
          facts.data_free ? " | needs no data" : " | needs data",
          facts.needs_blocks ? " | needs residual blocks" : "");
  std::string out = cat(method.name, ": ", method.title, " (", method.year, ")\n\n");
  out += row("paper", method.paper);
  out += row("taxonomy", place);
  out += row("idea", method.idea);
  out += row("formula", method.formula);
  out += row("schedule", method.schedule);
  if (!method.differs.empty()) out += row("differs", method.differs);
  out += row("patterns", patterns);
  for (const Option& option : method.options) {
    const std::string unit = option.unit.empty() ? "" : " (" + option.unit + ")";
    const std::string value = option.default_value.empty() ? "none" : option.default_value;
    out += "  --" + option.name + "\n" +
           row("", cat(option.help, unit, "; default ", value, range(option)));
  }
  if (!method.use_when.empty()) out += row("use when", method.use_when);
  if (!method.not_when.empty()) out += row("not when", method.not_when);
  return out;
}

}  // namespace espalier::prune
