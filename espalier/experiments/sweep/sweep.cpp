// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/sweep/sweep.h>

#include <algorithm>
#include <iterator>
#include <new>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/comparisons/statistics.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/interrupt.h>

namespace espalier::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFigures[] = {"accuracy", "loss", "sparsity", "macs_effective"};

std::string title_of(const OptionTexts& varied) {
  std::string out;
  for (const auto& [name, text] : varied) out += (out.empty() ? "" : ", ") + name + " " + text;
  return out.empty() ? "one run" : out;
}

Json run_json(const SweepRun& run, Console& console) {
  Json out = {{"settings", run.varied}, {"out", run.request.settings.run.out}};
  try {
    out.update(run_training(run.request, console));
  } catch (const std::bad_alloc&) {
    out["error"] = "out of memory";
  } catch (const std::exception& error) {
    out["error"] = error.what();
  }
  if (!out.contains("error")) return out;
  out["status"] = "failed";
  paint(console, Colour::Red, "  failed: ");
  console.err << out.at("error").get<std::string>() << '\n';
  return out;
}

Json summary_json(const std::vector<Json>& runs, const char* figure) {
  std::vector<double> values;
  for (const Json& run : runs) values.push_back(run.at(figure).get<double>());
  const comparisons::Summary summary = comparisons::summarize(values);
  return {{"mean", summary.mean},
          {"deviation", summary.deviation ? Json(*summary.deviation) : Json()}};
}

Json group_json(const Json& settings, const std::vector<Json>& runs) {
  Json out = {{"settings", settings}, {"runs", runs.size()}};
  for (const char* figure : kFigures) {
    if (!runs.empty()) out[figure] = summary_json(runs, figure);
  }
  return out;
}

Json groups_json(const Json& runs) {
  struct Group {
    Json settings;
    std::vector<Json> finished;
  };
  std::vector<Group> groups;
  for (const Json& run : runs) {
    Json settings = run.at("settings");
    settings.erase("seed");
    auto group = std::ranges::find(groups, settings, &Group::settings);
    if (group == groups.end()) {
      groups.emplace_back();
      groups.back().settings = settings;
      group = std::prev(groups.end());
    }
    if (!run.contains("error")) group->finished.push_back(run);
  }
  Json out = Json::array();
  for (const Group& group : groups) out.push_back(group_json(group.settings, group.finished));
  return out;
}

std::string with_spread(const Json& summary, double factor, int decimals) {
  const Json& deviation = summary.at("deviation");
  return fmt::format("{:.{}f}{}",
                     factor * summary.at("mean").get<double>(),
                     decimals,
                     deviation.is_null()
                         ? ""
                         : fmt::format(" +- {:.{}f}", factor * deviation.get<double>(), decimals));
}

}  // namespace

Json run_sweep(const std::vector<SweepRun>& runs, Console& console) {
  const InterruptScope interrupts;
  Json out = {{"runs", Json::array()}};
  for (const SweepRun& run : runs) {
    const size_t done = out.at("runs").size();
    stop_if_interrupted(cat("after ", done, " of ", runs.size(), " runs"));
    console.err << fmt::format("[{}/{}] {}\n", done + 1, runs.size(), title_of(run.varied))
                << std::flush;
    out["runs"].push_back(run_json(run, console));
  }
  out["groups"] = groups_json(out.at("runs"));
  return out;
}

std::string sweep_text(const Json& swept) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& group : swept.at("groups")) {
    std::vector<std::string> heading, row;
    for (const auto& [name, text] : group.at("settings").items()) {
      heading.push_back(name);
      row.push_back(text.get<std::string>());
    }
    for (const char* name : {"runs", "accuracy %", "loss", "sparsity", "MACs effective"}) {
      heading.emplace_back(name);
    }
    if (rows.empty()) rows.push_back(heading);
    row.push_back(std::to_string(group.at("runs").get<int64_t>()));
    if (group.contains("accuracy")) {
      row.push_back(with_spread(group.at("accuracy"), 100.0, 2));
      row.push_back(with_spread(group.at("loss"), 1.0, 4));
      row.push_back(with_spread(group.at("sparsity"), 1.0, 4));
      row.push_back(short_count(group.at("macs_effective").at("mean").get<double>()));
    } else {
      row.insert(row.end(), 4, "failed");
    }
    rows.push_back(std::move(row));
  }
  return text_table(rows) + "\nmean +- one standard deviation over seeds\n";
}

}  // namespace espalier::experiments
