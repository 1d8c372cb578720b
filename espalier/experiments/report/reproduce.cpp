// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/reproduce.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/printable.h>
#include <espalier/core/error.h>
#include <espalier/experiments/comparisons/experiment.h>
#include <espalier/experiments/settings/method_options.h>
#include <espalier/experiments/settings/settings_json.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments::report {
namespace {

using Json = nlohmann::ordered_json;

bool is_told(const std::string& name) {
  static const std::set<std::string> kPlaces = {"weights", "mask-from", "distill-from", "out"};
  return kPlaces.contains(name) || (!is_incidental(name) && !name.ends_with("-fingerprint"));
}

// None of a method that is not known here, as that of a newer version's run.
std::vector<Option> options_of(const Json& settings) {
  std::vector<Option> out = train_table().options();
  const Json method = settings.value("prune", Json());
  const bool known = std::ranges::any_of(
      prune::methods(), [&](const prune::Method& one) { return method == one.name; });
  if (!known) return out;
  const std::vector<Option> own = method_options(method.get<std::string>());
  out.insert(out.end(), own.begin(), own.end());
  return out;
}

bool is_met(const OptionNeed& need, const Json& settings) {
  const Json other = settings.value(need.option, Json());
  return other.is_null() ||
         need.is_met(other.is_string() ? other.get<std::string>() : other.dump());
}

// What a configuration file set beside a setting that makes it idle: as a flag `train` would refuse
// it.
std::set<std::string> idle_settings(const Json& settings) {
  std::set<std::string> out;
  for (const Option& option : options_of(settings)) {
    if (!is_met(option.needs, settings)) out.insert(option.name);
  }
  return out;
}

// $'..' is POSIX's since 2024, and known to bash, ksh and zsh.
std::string spelt_word(const std::string& text) {
  std::string out = "$'";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '\'' || c == '\\') {
      out += std::string("\\") + c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "'";
}

}  // namespace

Json default_settings(const Json& settings) {
  Json out = default_train_json();
  const Json method = settings.value("prune", Json());
  for (const prune::Method& one : prune::methods()) {
    if (method == one.name) out.update(to_json(prune::choose_method(one, OptionTexts())));
  }
  return out;
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  // What a terminal would obey, or a line end would cut, is spelt out.
  const bool plain =
      text.find_first_of("\n\t") == std::string::npos && espalier::detail::printable(text) == text;
  if (!plain) return spelt_word(text);
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string train_command(const Json& settings) {
  const Json defaults = default_settings(settings);
  const std::set<std::string> idle = idle_settings(settings);
  std::string out = "espalier train";
  for (const auto& [name, value] : settings.items()) {
    const bool named = name == "model" || name == "data" || name == "sparsity";
    if (!is_told(name) || (!named && value == defaults.value(name, Json()))) continue;
    if (idle.contains(name)) continue;
    if (value.is_boolean()) {
      if (value.get<bool>()) out += " " + shell_word("--" + name);
      continue;
    }
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    // Behind a space it would be taken for another option.
    if (text.starts_with('-')) {
      out += " " + shell_word("--" + name + "=" + text);
    } else {
      out += " " + shell_word("--" + name) + " " + shell_word(text);
    }
  }
  return out;
}

std::string experiment_command(const std::filesystem::path& results) {
  const std::filesystem::path plain = results.lexically_normal();
  const std::string folder =
      (plain.has_filename() ? plain : plain.parent_path()).filename().string();
  for (const comparisons::Experiment& known : comparisons::experiments()) {
    for (const comparisons::Preset preset :
         {comparisons::Preset::Smoke, comparisons::Preset::Quick, comparisons::Preset::Paper}) {
      if (folder != known.name + "-" + name(preset)) continue;
      return fmt::format("espalier experiment run {} --preset {}", known.name, name(preset));
    }
  }
  return {};
}

}  // namespace espalier::experiments::report
