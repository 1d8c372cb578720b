// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/report.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/csv.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/report/sentences.h>

namespace espalier::experiments::report {
namespace {

using Json = nlohmann::ordered_json;

std::string setting(const ReportRun& run, const std::string& name) {
  const Json value = run.settings.value(name, Json());
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// A column of the table of runs: how a number is shown, and which it is.
struct Column {
  std::string heading;
  std::function<std::optional<double>(const ReportRun& run, const ReportRun& first)> value;
  std::function<std::string(double)> shown;
};

std::string decimals(double value, int count) {
  return fmt::format("{:.{}f}", value, count);
}

const std::vector<Column>& all_columns() {
  const auto figure = [](const char* name) {
    return [name](const ReportRun& run, const ReportRun&) { return run.figure(name); };
  };
  const auto pair = [](const char* name, auto combine) {
    return [name, combine](const ReportRun& run, const ReportRun& first) -> std::optional<double> {
      const auto mine = run.figure(name);
      const auto other = first.figure(name);
      if (&run == &first || !mine || !other) return std::nullopt;
      return combine(*mine, *other);
    };
  };
  const auto count = [](double x) { return grouped(std::llround(x)); };
  static const std::vector<Column> kColumns = {
      {"sparsity", figure("sparsity"), [](double x) { return decimals(x, 4); }},
      {"accuracy", figure("accuracy"), [](double x) { return decimals(100 * x, 2) + " %"; }},
      {"difference",
       pair("accuracy", [](double a, double b) { return 100 * (a - b); }),
       [](double x) { return fmt::format("{:+.2f}", x); }},
      {"images/s", figure("images_per_second"), count},
      {"speed-up", figure("speedup"), [](double x) { return decimals(x, 2); }},
      {"parameters", figure("params"), count},
      {"left", figure("params_nonzero"), count},
      {"MACs dense", figure("macs_dense"), short_count},
      {"effective", figure("macs_effective"), short_count},
      {"executed", figure("macs_executed"), short_count},
  };
  return kColumns;
}

// The speed-up only where it was measured.
std::vector<Column> columns_of(const std::vector<ReportRun>& runs) {
  std::vector<Column> out = all_columns();
  const bool timed = std::any_of(
      runs.begin(), runs.end(), [](const ReportRun& run) { return run.figure("speedup"); });
  if (!timed) std::erase_if(out, [](const Column& one) { return one.heading == "speed-up"; });
  return out;
}

std::string shown_name(const ReportRun& run) {
  if (run.unreadable) return run.name + " (can't be read)";
  if (!run.error.empty()) return run.name + " (failed)";
  return run.name + (run.finished ? "" : " (not finished)");
}

// Those that have no column of their own.
std::vector<std::string> setting_names(const std::vector<ReportRun>& runs) {
  std::vector<std::string> out;
  std::set<std::string> seen = {"model", "data", "seed", "sparsity"};
  for (const ReportRun& run : runs) {
    for (const auto& [name, value] : run.settings.items()) {
      if (seen.insert(name).second) out.push_back(name);
    }
  }
  return out;
}

}  // namespace

Report::Report(std::vector<ReportRun> runs)
    : runs_(std::move(runs)), panels_(panels_of(runs_)), series_(series_of(panels_)) {}

size_t Report::style(const std::string& series) const {
  return static_cast<size_t>(std::find(series_.begin(), series_.end(), series) - series_.begin());
}

const ReportRun& Report::compared_with(const ReportRun& run) const {
  const auto first = [&](bool dense) {
    return std::find_if(runs_.begin(), runs_.end(), [&](const ReportRun& other) {
      return other.model == run.model && other.data == run.data && other.seed == run.seed &&
             (!dense || other.method == "dense");
    });
  };
  const auto found = first(true);
  return found != runs_.end() ? *found : *first(false);
}

std::vector<std::vector<std::string>> Report::rows() const {
  std::vector<std::vector<std::string>> rows = {
      {"run", "model", "data", "method", "variant", "seed"}};
  const std::vector<Column> columns = columns_of(runs_);
  for (const Column& column : columns) rows[0].emplace_back(column.heading);
  for (const ReportRun& run : runs_) {
    const std::string seed = run.unreadable ? "-" : std::to_string(run.seed);
    std::vector<std::string> row = {
        shown_name(run), run.model, run.data, run.method, run.variant, seed};
    for (const Column& column : columns) {
      const auto value = column.value(run, compared_with(run));
      row.push_back(value && std::isfinite(*value) ? column.shown(*value) : "-");
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<std::vector<std::string>> Report::sort_keys() const {
  std::vector<std::vector<std::string>> out;
  const std::vector<Column> columns = columns_of(runs_);
  for (const ReportRun& run : runs_) {
    const std::string seed = run.unreadable ? "" : std::to_string(run.seed);
    std::vector<std::string> row = {"", "", "", "", "", seed};
    for (const Column& column : columns) {
      const auto value = column.value(run, compared_with(run));
      row.push_back(value && std::isfinite(*value) ? fmt::format("{}", *value) : "");
    }
    out.push_back(std::move(row));
  }
  return out;
}

std::string Report::text() const {
  std::vector<std::vector<std::string>> shown = rows();
  const bool no_variants = std::all_of(
      runs_.begin(), runs_.end(), [](const ReportRun& run) { return run.variant.empty(); });
  if (no_variants) {
    for (auto& row : shown) row.erase(row.begin() + 4);
  }
  std::string out;
  for (const std::string& sentence : report_findings(*this)) out += sentence + "\n";
  out += (out.empty() ? "" : "\n") + text_table(shown);
  for (const ReportRun& run : runs_) {
    if (!run.error.empty()) out += shown_name(run) + ": " + run.error + "\n";
  }
  return out;
}

std::string Report::csv() const {
  const std::vector<std::string> settings = setting_names(runs_);
  std::string out = "run,finished,model,data,method,variant,sparsity_asked,seed";
  for (const std::string& name : figure_names()) out += "," + name;
  for (const std::string& name : settings) out += "," + csv_field(name);
  out += ",command,error\n";
  for (const ReportRun& run : runs_) {
    out += fmt::format("{},{},{},{},{},{},{},{}",
                       csv_field(run.name),
                       run.finished,
                       csv_field(run.model),
                       csv_field(run.data),
                       csv_field(run.method),
                       csv_field(run.variant),
                       run.sparsity_asked,
                       run.seed);
    for (const std::string& name : figure_names()) {
      const auto value = run.figure(name);
      out += "," + (value ? fmt::format("{}", *value) : std::string());
    }
    for (const std::string& name : settings) out += "," + csv_field(setting(run, name));
    out += "," + csv_field(run.command) + "," + csv_field(run.error) + '\n';
  }
  return out;
}

std::string Report::means_csv() const {
  std::string out = "model,data,method,variant,sparsity_asked,seeds";
  for (const std::string& name : figure_names()) out += fmt::format(",{0},{0}_deviation", name);
  out += '\n';
  for (const Panel& panel : panels_) {
    for (const RunGroup& group : panel.groups) {
      out += fmt::format("{},{},{},{},{},{}",
                         csv_field(panel.model),
                         csv_field(panel.data),
                         csv_field(group.first().method),
                         csv_field(group.first().variant),
                         group.first().sparsity_asked,
                         group.finished());
      for (const std::string& name : figure_names()) {
        const auto summary = group.summary(name);
        out += summary ? fmt::format(",{}", summary->mean) : ",";
        out += summary && summary->deviation ? fmt::format(",{}", *summary->deviation) : ",";
      }
      out += '\n';
    }
  }
  return out;
}

}  // namespace espalier::experiments::report
