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

bool is_known(const std::string& method) {
  const std::vector<prune::Method>& all = prune::methods();
  return std::any_of(
      all.begin(), all.end(), [&](const prune::Method& one) { return one.name == method; });
}

/// False for what a configuration file set beside a setting that makes it idle: as a flag `train`
/// would refuse it.
bool has_effect(const std::string& name, const Json& settings) {
  const std::vector<Need>& needs = train_needs();
  const bool of_train = std::all_of(needs.begin(), needs.end(), [&](const Need& need) {
    if (need.option != name || !settings.contains(need.other)) return true;
    return is_met(need, settings.at(need.other).get<std::string>());
  });
  const Json method = settings.value("prune", Json());
  if (!of_train || !method.is_string() || !is_known(method.get<std::string>())) return of_train;
  const std::vector<prune::Option> options = method_options(method.get<std::string>());
  return std::all_of(options.begin(), options.end(), [&](const prune::Option& option) {
    const Json other = settings.value(option.needs.option, Json());
    if (option.name != name || other.is_null()) return true;
    return prune::is_met(option.needs, other.is_string() ? other.get<std::string>() : other.dump());
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
