// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/groups.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace espalier::experiments::report {
namespace {

bool same_group(const ReportRun& a, const ReportRun& b) {
  return a.method == b.method && a.variant == b.variant && a.sparsity_asked == b.sparsity_asked &&
         a.deployed == b.deployed;
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

std::string RunGroup::series() const {
  return first().variant.empty() ? first().method : first().method + " " + first().variant;
}

std::string RunGroup::label() const {
  return first().sparsity_asked > 0.0 ? fmt::format("{} {:.4g}", series(), first().sparsity_asked)
                                      : series();
}

std::optional<comparisons::Summary> RunGroup::summary(const std::string& figure) const {
  std::vector<double> values;
  for (const ReportRun* run : runs) {
    // Halfway through its training a network says nothing about its end.
    if (!run->finished) continue;
    if (const auto value = run->figure(figure)) values.push_back(*value);
  }
  if (values.empty()) return std::nullopt;
  return comparisons::summarize(values);
}

size_t RunGroup::finished() const {
  return static_cast<size_t>(
      std::count_if(runs.begin(), runs.end(), [](const ReportRun* run) { return run->finished; }));
}

std::vector<std::string> Panel::series() const {
  std::vector<std::string> out;
  for (const RunGroup& group : groups) add_once(out, group.series());
  return out;
}

std::vector<Panel> panels_of(const std::vector<ReportRun>& runs) {
  std::vector<Panel> panels;
  for (const ReportRun& run : runs) {
    if (!run.error.empty() || !run.compared) continue;
    auto panel = std::find_if(panels.begin(), panels.end(), [&](const Panel& one) {
      return one.model == run.model && one.data == run.data;
    });
    if (panel == panels.end()) {
      panels.push_back({.model = run.model, .data = run.data, .groups = {}});
      panel = panels.end() - 1;
    }
    auto group = std::find_if(panel->groups.begin(), panel->groups.end(), [&](const RunGroup& one) {
      return same_group(one.first(), run);
    });
    if (group == panel->groups.end()) {
      panel->groups.emplace_back();
      group = panel->groups.end() - 1;
    }
    group->runs.push_back(&run);
  }
  for (Panel& panel : panels) {
    const std::vector<std::string> order = panel.series();
    const auto place = [&](const RunGroup& group) {
      const auto found = std::find(order.begin(), order.end(), group.series()) - order.begin();
      return std::pair(group.first().method != "dense", found);
    };
    std::stable_sort(
        panel.groups.begin(), panel.groups.end(), [&](const RunGroup& a, const RunGroup& b) {
          return place(a) != place(b) ? place(a) < place(b)
                                      : a.first().sparsity_asked < b.first().sparsity_asked;
        });
  }
  return panels;
}

std::vector<std::string> series_of(const std::vector<Panel>& panels) {
  std::vector<std::string> out;
  for (const bool dense : {true, false}) {
    for (const Panel& panel : panels) {
      for (const RunGroup& group : panel.groups) {
        if ((group.first().method == "dense") == dense) add_once(out, group.series());
      }
    }
  }
  return out;
}

}  // namespace espalier::experiments::report
