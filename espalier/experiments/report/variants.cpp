// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/variants.h>

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/report/reproduce.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments::report {
namespace {

using Json = nlohmann::ordered_json;
using Settings = std::map<std::string, std::string>;

bool tells(const std::string& name) {
  static const std::set<std::string> kOther = {"model", "data", "prune", "sparsity", "seed"};
  return name == "weights" || name == "mask-from" ||
         (!kOther.contains(name) && !is_incidental(name) && !name.ends_with("-fingerprint"));
}

std::string text_of(const std::string& name, const Json& value) {
  if (name == "weights" && value == "") return "fresh";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Settings texts_of(const Json& settings) {
  Settings out;
  for (const auto& [name, value] : settings.items()) {
    if (tells(name)) out[name] = text_of(name, value);
  }
  return out;
}

/// One run's settings, and what they would be by default.
struct Told {
  Settings defaults;
  Settings all;
};

Told told_by(const ReportRun& run) {
  Told out;
  if (run.settings.empty()) return out;
  out.defaults = texts_of(default_settings(run.settings));
  for (const prune::Method& method : prune::methods()) {
    if (method.name == run.method) out.defaults["pattern"] = method.patterns.front();
  }
  out.all = out.defaults;
  for (const auto& [name, text] : texts_of(run.settings)) {
    if (name != "pattern" || !text.empty()) out.all[name] = text;
    // Files differ from seed to seed; what they hold does not.
    if (const auto source = run.sources.find(name); source != run.sources.end()) {
      out.all[name] = source->second;
    }
  }
  return out;
}

std::string text_in(const Settings& settings, const std::string& name) {
  const auto found = settings.find(name);
  return found == settings.end() ? std::string() : found->second;
}

}  // namespace

void name_variants(std::vector<ReportRun>& runs) {
  std::vector<Told> told;
  for (const ReportRun& run : runs) told.push_back(told_by(run));
  std::vector<std::string> variants(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const auto& [name, text] : told[i].all) {
      if (text == text_in(told[i].defaults, name)) continue;
      for (size_t j = 0; j < runs.size(); ++j) {
        const bool compared = runs[i].model == runs[j].model && runs[i].data == runs[j].data &&
                              runs[i].method == runs[j].method && !told[j].all.empty() &&
                              runs[j].variant.empty();
        if (!compared || text_in(told[j].all, name) == text) continue;
        variants[i] += variants[i].empty() ? "" : ", ";
        variants[i] += name == "mask-from" ? text : name + " " + text;
        break;
      }
    }
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].variant.empty()) runs[i].variant = variants[i];
  }
  // What is told of two runs is the same, seed and all, and yet they are two: one after the other.
  std::map<std::string, int> seen;
  for (ReportRun& run : runs) {
    if (!run.error.empty() || !run.compared) continue;
    const int count = ++seen[fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}",
                                         run.model,
                                         run.data,
                                         run.method,
                                         run.variant,
                                         run.sparsity_asked,
                                         run.seed,
                                         run.deployed)];
    if (count > 1) run.variant += fmt::format("{}({})", run.variant.empty() ? "" : " ", count);
  }
}

}  // namespace espalier::experiments::report
