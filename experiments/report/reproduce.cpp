// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/reproduce.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/experiments/comparisons/experiment.h>
#include <espalier/experiments/needs.h>
#include <espalier/experiments/options.h>
#include <espalier/prune/registry.h>

namespace espalier::experiments {
namespace {

using Json = nlohmann::ordered_json;

bool is_told(const std::string& name) {
  static const std::set<std::string> kPlaces = {"weights", "mask-from", "distill-from", "out"};
  return kPlaces.contains(name) || (!is_incidental(name) && !name.ends_with("-fingerprint"));
}

/// False for what a configuration file set beside a setting that makes it idle: as a flag `train`
/// would refuse it.
bool has_effect(const std::string& name, const Json& settings) {
  const std::vector<Need>& needs = train_needs();
  return std::all_of(needs.begin(), needs.end(), [&](const Need& need) {
    if (need.option != name || !settings.contains(need.other)) return true;
    return is_met(need, settings.at(need.other).get<std::string>());
  });
}

}  // namespace

Json default_settings(const Json& settings) {
  Json out = to_json(prune::OptionValues("train", train_options()));
  const Json method = settings.value("prune", Json());
  if (!method.is_string()) return out;
  for (const prune::Method& known : prune::methods()) {
    if (known.name != method.get<std::string>()) continue;
    out.update(to_json(prune::OptionValues("train", prune::common_options())));
    out.update(to_json(prune::OptionValues("train", known.options)));
  }
  return out;
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string train_command(const Json& settings) {
  const Json defaults = default_settings(settings);
  std::string out = "espalier train";
  for (const auto& [name, value] : settings.items()) {
    const bool named = name == "model" || name == "data" || name == "sparsity";
    if (!is_told(name) || (!named && value == defaults.value(name, Json()))) continue;
    if (!has_effect(name, settings)) continue;
    if (value.is_boolean()) {
      if (value.get<bool>()) out += " --" + name;
    } else {
      out += fmt::format(" --{} {}",
                         name,
                         shell_word(value.is_string() ? value.get<std::string>() : value.dump()));
    }
  }
  return out;
}

std::string experiment_command(const std::filesystem::path& results) {
  const std::filesystem::path plain = results.lexically_normal();
  const std::string folder =
      (plain.has_filename() ? plain : plain.parent_path()).filename().string();
  for (const Experiment& known : experiments()) {
    for (const Preset preset : {Preset::Smoke, Preset::Quick, Preset::Paper}) {
      if (folder != known.name + "-" + name(preset)) continue;
      return fmt::format("espalier experiment run {} --preset {}", known.name, name(preset));
    }
  }
  return {};
}

}  // namespace espalier::experiments
