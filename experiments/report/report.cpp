// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/report.h>

#include <cmath>
#include <optional>
#include <set>

#include <fmt/format.h>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/report/chart.h>

namespace espalier::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kResultKeys[] = {"accuracy",
                                       "loss",
                                       "sparsity",
                                       "params",
                                       "params_nonzero",
                                       "macs_dense",
                                       "macs_effective",
                                       "macs_executed",
                                       "images_per_second",
                                       "seconds"};

constexpr const char* kStyle = R"css(
:root { color-scheme: light dark; --ink: #1c1c1c; --soft: #666; --line: #ddd; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --soft: #aaa; --line: #444; --paper: #181818; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; } .soft { color: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; stroke: none; }
svg .title { font-size: 14px; font-weight: 600; } svg .grid { stroke: var(--line); }
svg polyline { stroke-width: 2; } .key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
)css";

std::optional<double> result(const RunRecord& run, const char* key) {
  const Json results = run.run.value("results", Json::object());
  if (results.contains(key) && results.at(key).is_number()) return results.at(key).get<double>();
  // An unfinished run has its newest epoch.
  if (run.metrics.empty()) return std::nullopt;
  const EpochMetrics& last = run.metrics.back();
  if (std::string_view(key) == "accuracy") return last.test_accuracy;
  if (std::string_view(key) == "loss") return last.test_loss;
  if (std::string_view(key) == "sparsity") return last.sparsity;
  if (std::string_view(key) == "seconds") return last.seconds;
  return std::nullopt;
}

std::string setting(const RunRecord& run, const std::string& name) {
  const Json value = run.run.at("settings").value(name, Json());
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

bool is_finished(const RunRecord& run) {
  return run.run.value("status", Json()) == "finished";
}

template <class Format>
std::string cell(const RunRecord& run, const char* key, Format format) {
  const std::optional<double> value = result(run, key);
  return value && std::isfinite(*value) ? format(*value) : "-";
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::vector<std::string> setting_names(const std::vector<RunRecord>& runs) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const RunRecord& run : runs) {
    for (const auto& [name, value] : run.run.at("settings").items()) {
      if (seen.insert(name).second) out.push_back(name);
    }
  }
  return out;
}

std::string html_table(const std::vector<std::vector<std::string>>& rows, bool colors) {
  std::string out = "<div class=\"scroll\"><table>";
  for (size_t r = 0; r < rows.size(); ++r) {
    out += "<tr>";
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const char* tag = r == 0 ? "th" : "td";
      std::string text = html_escape(rows[r][c]);
      if (colors && r > 0 && c == 0) {
        text = fmt::format(
            R"(<span class="key" style="background:{}"></span>{})", series_color(r - 1), text);
      }
      out += fmt::format("<{0}>{1}</{0}>", tag, text);
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

}  // namespace

Report::Report(std::vector<RunRecord> runs) : runs_(std::move(runs)) {
  std::set<std::string> taken;
  for (const RunRecord& run : runs_) {
    // The folder's own name if that tells the runs apart, else its whole path.
    const std::filesystem::path path = run.path.lexically_normal();
    std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
    if (name.empty() || name == "." || !taken.insert(name).second) name = path.string();
    taken.insert(name);
    names_.push_back(name);
  }
}

std::vector<std::vector<std::string>> Report::rows() const {
  std::vector<std::vector<std::string>> rows = {{"run",
                                                 "model",
                                                 "data",
                                                 "method",
                                                 "accuracy",
                                                 "against first",
                                                 "sparsity",
                                                 "parameters",
                                                 "not zero",
                                                 "MACs dense",
                                                 "effective",
                                                 "executed",
                                                 "images/s",
                                                 "speed-up"}};
  for (size_t i = 0; i < runs_.size(); ++i) {
    const RunRecord& run = runs_[i];
    const auto ratio_to_first = [&](const char* key) -> std::optional<double> {
      const auto mine = result(run, key);
      const auto first = result(runs_.front(), key);
      if (i == 0 || !mine || !first || *first == 0.0) return std::nullopt;
      return *mine / *first;
    };
    const auto accuracy = result(run, "accuracy");
    const auto first_accuracy = result(runs_.front(), "accuracy");
    const auto speedup = ratio_to_first("images_per_second");
    const std::string method = setting(run, "prune");
    rows.push_back(
        {names_[i] + (is_finished(run) ? "" : " (not finished)"),
         setting(run, "model"),
         setting(run, "data"),
         method.empty() ? "dense" : method,
         cell(run, "accuracy", [](double x) { return fmt::format("{:.2f} %", 100 * x); }),
         i > 0 && accuracy && first_accuracy
             ? fmt::format("{:+.2f}", 100 * (*accuracy - *first_accuracy))
             : "-",
         cell(run, "sparsity", [](double x) { return fmt::format("{:.4f}", x); }),
         cell(run, "params", [](double x) { return grouped(std::llround(x)); }),
         cell(run, "params_nonzero", [](double x) { return grouped(std::llround(x)); }),
         cell(run, "macs_dense", short_count),
         cell(run, "macs_effective", short_count),
         cell(run, "macs_executed", short_count),
         cell(run, "images_per_second", [](double x) { return fmt::format("{:.0f}", x); }),
         speedup ? fmt::format("{:.2f}", *speedup) : "-"});
  }
  return rows;
}

std::string Report::text() const {
  return text_table(rows());
}

std::string Report::csv() const {
  const std::vector<std::string> settings = setting_names(runs_);
  std::string out = "run,finished";
  for (const char* key : kResultKeys) out += std::string(",") + key;
  for (const std::string& name : settings) out += "," + csv_field(name);
  out += '\n';
  for (size_t i = 0; i < runs_.size(); ++i) {
    out += csv_field(names_[i]) + (is_finished(runs_[i]) ? ",true" : ",false");
    for (const char* key : kResultKeys) {
      const auto value = result(runs_[i], key);
      out += "," + (value ? fmt::format("{}", *value) : std::string());
    }
    for (const std::string& name : settings) out += "," + csv_field(setting(runs_[i], name));
    out += '\n';
  }
  return out;
}

std::string Report::html() const {
  const auto chart = [&](const ChartText& text, double EpochMetrics::*field) {
    std::vector<Series> series;
    for (size_t i = 0; i < runs_.size(); ++i) {
      Series line{.name = names_[i], .points = {}};
      for (const EpochMetrics& m : runs_[i].metrics) {
        line.points.emplace_back(static_cast<double>(m.epoch), m.*field);
      }
      series.push_back(std::move(line));
    }
    return "<div>" + line_chart(text, series) + "</div>\n";
  };
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>Espalier report</title>"
      "<style>{}</style></head><body>\n<h1>Espalier: {} run{}</h1>\n",
      kStyle,
      runs_.size(),
      runs_.size() == 1 ? "" : "s");
  out += html_table(rows(), true);
  out +=
      "<p class=\"soft\">Accuracy and speed on the test split, images/s with loading. Sparsity: "
      "the "
      "removed part of all convolution and linear weights, first and last layer included. MACs per "
      "image: dense counts every weight, effective only those that are not zero, executed what the "
      "kernels did. Speed-up: images/s of the run over those of the first.</p>\n";
  out += "<h2>Training</h2><div class=\"charts\">\n";
  out += chart({"Test accuracy", "epoch", "fraction"}, &EpochMetrics::test_accuracy);
  out += chart({"Test loss", "epoch", "cross-entropy"}, &EpochMetrics::test_loss);
  out += chart({"Training loss", "epoch", "loss"}, &EpochMetrics::train_loss);
  out += chart({"Sparsity", "epoch", "removed fraction"}, &EpochMetrics::sparsity);
  out += chart({"Learning rate", "epoch", "rate"}, &EpochMetrics::lr);
  out += "</div>\n<h2>Settings</h2>\n";
  std::vector<std::vector<std::string>> table = {{"setting"}};
  for (const std::string& name : names_) table[0].push_back(name);
  for (const std::string& name : setting_names(runs_)) {
    std::vector<std::string> row = {name};
    for (const RunRecord& run : runs_) row.push_back(setting(run, name));
    table.push_back(std::move(row));
  }
  out += html_table(table, false);
  out += "<h2>Machine</h2>\n";
  for (size_t i = 0; i < runs_.size(); ++i) {
    const Json machine = runs_[i].run.value("machine", Json::object());
    out += fmt::format(
        "<p class=\"soft\">{}: {}</p>\n", html_escape(names_[i]), html_escape(machine.dump()));
  }
  return out + "</body></html>\n";
}

}  // namespace espalier::experiments
