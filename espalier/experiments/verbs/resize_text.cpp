// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/verbs/resize_text.h>

#include <vector>

#include <fmt/format.h>

#include <espalier/experiments/figures.h>

namespace espalier::experiments::verbs {

nlohmann::ordered_json resize_json(const prune::ResizeReport& report) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const prune::ResizedLayer& layer : report.layers) {
    layers.push_back({{"name", layer.name},
                      {"in_before", layer.in_before},
                      {"in", layer.in},
                      {"out_before", layer.out_before},
                      {"out", layer.out}});
  }
  return {{"params_before", report.params_before},
          {"params", report.params},
          {"channels_before", report.channels_before},
          {"channels", report.channels},
          {"layers", layers},
          {"notes", report.notes}};
}

std::string resize_text(const prune::ResizeReport& report) {
  std::vector<std::vector<std::string>> rows = {{"layer", "in", "was", "out", "was"}};
  for (const prune::ResizedLayer& layer : report.layers) {
    rows.push_back({layer.name,
                    std::to_string(layer.in),
                    std::to_string(layer.in_before),
                    std::to_string(layer.out),
                    std::to_string(layer.out_before)});
  }
  std::string out = text_table(rows);
  out += fmt::format("\nparameters  {} (was {})\nchannels    {} (was {})\n",
                     grouped(report.params),
                     grouped(report.params_before),
                     report.channels,
                     report.channels_before);
  for (const std::string& note : report.notes) out += "note: " + note + "\n";
  return out;
}

std::string macs_text(const nlohmann::ordered_json& counts, const std::string& out) {
  return fmt::format("MACs        {} (was {}) per image\nwritten to  {}\n",
                     short_count(counts.at("macs_dense").get<double>()),
                     short_count(counts.at("macs_dense_before").get<double>()),
                     out);
}

}  // namespace espalier::experiments::verbs
