// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/compare/compare.h>

#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/networks.h>
#include <espalier/experiments/report/reproduce.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Side {
  RunRecord record;
  Json settings;
  Json defaults;
};

Side read_side(const fs::path& path) {
  Side out;
  out.record = read_run(path);
  out.settings = out.record.run.value("settings", Json::object());
  out.defaults = report::default_settings(out.settings);
  return out;
}

// A setting that is not told is younger than the run, which went by its default.
Json value_of(const Side& side, const std::string& name) {
  return side.settings.value(name, side.defaults.value(name, Json()));
}

Json settings_json(const std::array<Side, 2>& sides) {
  Json out = Json::array();
  std::map<std::string, bool> seen;
  for (const Side& side : sides) {
    for (const auto& [name, unused] : side.settings.items()) {
      const bool place = is_incidental(name) && name != "weights" && name != "mask-from";
      if (place || std::exchange(seen[name], true)) continue;
      const Json a = value_of(sides[0], name), b = value_of(sides[1], name);
      if (a != b) out.push_back({{"name", name}, {"values", {a, b}}});
    }
  }
  return out;
}

Json results_json(const std::array<Side, 2>& sides) {
  Json out = Json::array();
  for (const char* name : {"accuracy",
                           "loss",
                           "sparsity",
                           "params",
                           "params_nonzero",
                           "macs_dense",
                           "macs_effective",
                           "epochs",
                           "steps"}) {
    std::array<Json, 2> values;
    for (size_t i = 0; i < 2; ++i) {
      values[i] = sides[i].record.run.value("results", Json::object()).value(name, Json());
    }
    if (values[0].is_null() && values[1].is_null()) continue;
    Json difference;
    if (values[0].is_number_integer() && values[1].is_number_integer()) {
      difference = values[1].get<int64_t>() - values[0].get<int64_t>();
    } else if (values[0].is_number() && values[1].is_number()) {
      difference = values[1].get<double>() - values[0].get<double>();
    }
    out.push_back({{"name", name}, {"values", values}, {"difference", difference}});
  }
  return out;
}

Json layers_json(const std::array<Side, 2>& sides) {
  std::vector<std::string> order;
  std::map<std::string, std::array<Json, 2>> layers;
  for (size_t i = 0; i < 2; ++i) {
    const fs::path model = sides[i].record.path / kModelFile;
    if (!fs::exists(model)) continue;
    const Network network = load_network(model);
    for (const nn::NamedParameter& weight : nn::prunable_parameters(*network.module)) {
      if (!layers.contains(weight.name)) order.push_back(weight.name);
      const int64_t all = weight.parameter->numel(), kept = weight.parameter->nnz();
      layers[weight.name][i] = {
          {"weights", all},
          {"kept", kept},
          {"sparsity",
           all == 0 ? 0.0 : 1.0 - static_cast<double>(kept) / static_cast<double>(all)}};
    }
  }
  Json out = Json::array();
  for (const std::string& name : order) {
    out.push_back({{"name", name}, {"values", layers.at(name)}});
  }
  return out;
}

std::string value_text(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    return text.empty() ? "none" : text;
  }
  if (value.is_number_integer()) return grouped(value.get<int64_t>());
  return value.is_number() ? fmt::format("{:.6g}", value.get<double>()) : value.dump();
}

std::string difference_text(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_number_integer()) {
    const auto number = value.get<int64_t>();
    return (number > 0 ? "+" : "") + grouped(number);
  }
  return fmt::format("{:+.4f}", value.get<double>());
}

std::string layer_text(const Json& layer) {
  return layer.is_null() ? "-" : fmt::format("{:.4f}", layer.at("sparsity").get<double>());
}

}  // namespace

Json compare_runs(const fs::path& first, const fs::path& second) {
  const std::array<Side, 2> sides = {read_side(first), read_side(second)};
  Json status = Json::array();
  for (const Side& side : sides) status.push_back(side.record.run.value("status", Json()));
  return {{"runs", {first.string(), second.string()}},
          {"status", status},
          {"settings", settings_json(sides)},
          {"results", results_json(sides)},
          {"layers", layers_json(sides)}};
}

std::string compare_text(const Json& compared) {
  std::string out;
  const char* sides[] = {"A", "B"};
  for (size_t i = 0; i < 2; ++i) {
    out += fmt::format("{}  {} ({})\n",
                       sides[i],
                       compared.at("runs").at(i).get<std::string>(),
                       value_text(compared.at("status").at(i)));
  }
  if (compared.at("settings").empty()) {
    out += "\nno setting differs\n";
  } else {
    std::vector<std::vector<std::string>> rows = {{"setting", "A", "B"}};
    for (const Json& one : compared.at("settings")) {
      rows.push_back({one.at("name").get<std::string>(),
                      value_text(one.at("values").at(0)),
                      value_text(one.at("values").at(1))});
    }
    out += "\n" + text_table(rows);
  }
  if (!compared.at("results").empty()) {
    std::vector<std::vector<std::string>> rows = {{"result", "A", "B", "B - A"}};
    for (const Json& one : compared.at("results")) {
      rows.push_back({one.at("name").get<std::string>(),
                      value_text(one.at("values").at(0)),
                      value_text(one.at("values").at(1)),
                      difference_text(one.at("difference"))});
    }
    out += "\n" + text_table(rows);
  }
  if (!compared.at("layers").empty()) {
    std::vector<std::vector<std::string>> rows = {{"weight", "sparsity A", "sparsity B"}};
    for (const Json& one : compared.at("layers")) {
      rows.push_back({one.at("name").get<std::string>(),
                      layer_text(one.at("values").at(0)),
                      layer_text(one.at("values").at(1))});
    }
    out += "\n" + text_table(rows);
  }
  return out;
}

}  // namespace espalier::experiments
