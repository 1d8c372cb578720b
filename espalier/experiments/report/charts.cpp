// SPDX-License-Identifier: Apache-2.0
// The charts of a report: which figures are drawn against which.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>

#include <espalier/experiments/report/chart.h>
#include <espalier/experiments/report/chart_table.h>
#include <espalier/experiments/report/report.h>

namespace espalier::experiments::report {
namespace {

constexpr size_t kMostCurves = 7;        // in one chart; more are parted by sparsity
constexpr double kWidelyRemoved = 85.0;  // percent from where removed shares need their own scale

// Small letters, digits and points, everything else a hyphen; letters beyond ASCII by their bytes,
// so that two names stay two.
std::string file_name(const std::string& kind, const std::string& rest) {
  std::string out;
  for (const char c : fmt::format("{} {}", kind, rest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) {
      out += fmt::format("{:02x}", byte);
    } else if (std::isalnum(byte) != 0 || c == '.') {
      out += static_cast<char>(std::tolower(byte));
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (out.back() == '-') out.pop_back();
  return out;
}

// One standard deviation is drawn where there are two seeds at least.
std::string spread_note(const std::vector<RunGroup>& groups, const std::string& shape) {
  size_t least = SIZE_MAX;
  size_t most = 0;
  for (const RunGroup& group : groups) {
    if (group.finished() == 0) continue;
    least = std::min(least, group.finished());
    most = std::max(most, group.finished());
  }
  if (most < 2) return "One seed each: no spread is known.";
  return fmt::format("{}: one standard deviation over {} seeds.",
                     shape,
                     least == most ? std::to_string(most) : fmt::format("{} to {}", least, most));
}

struct Measure {
  const char* figure;
  double factor;
};

std::optional<ChartPoint> point_of(const RunGroup& group, Measure x, Measure y) {
  const auto across = group.summary(x.figure);
  const auto up = group.summary(y.figure);
  if (!across || !up) return std::nullopt;
  return ChartPoint{.x = x.factor * across->mean,
                    .y = y.factor * up->mean,
                    .x_deviation = x.factor * across->deviation.value_or(0.0),
                    .y_deviation = y.factor * up->deviation.value_or(0.0),
                    .label = group.label()};
}

std::vector<Series> series_of_points(const Report& report,
                                     const Panel& panel,
                                     Measure x,
                                     Measure y) {
  std::vector<Series> out;
  for (const std::string& name : panel.series()) {
    Series line{.name = name, .points = {}, .style = report.style(name)};
    for (const RunGroup& group : panel.groups) {
      if (group.series() != name) continue;
      if (auto point = point_of(group, x, y)) line.points.push_back(std::move(*point));
    }
    if (!line.points.empty()) out.push_back(std::move(line));
  }
  return out;
}

template <class AnyChart>
NamedChart named(const std::string& name, const AnyChart& chart, bool secondary = false) {
  return {.name = name,
          .svg = draw(chart),
          .table = table_of("numbers-" + name, chart).html(),
          .secondary = secondary};
}

constexpr Measure kAccuracy = {"accuracy", 100.0};

Chart sparsity_chart(const Report& report, const Panel& panel) {
  Chart chart{.title = "Accuracy against sparsity",
              .subtitle = panel.title(),
              .x = {.title = "removed weights, %"},
              .y = {.title = "test accuracy, %", .percent = true},
              .series = series_of_points(report, panel, {"sparsity", 100.0}, kAccuracy),
              .note = spread_note(panel.groups, "Bands and bars")};
  double most = 0.0;
  for (Series& series : chart.series) {
    for (ChartPoint& point : series.points) {
      most = std::max(most, point.x);
      point.x_deviation = 0.0;  // narrower than the marker
    }
  }
  if (most > kWidelyRemoved) {
    chart.x.scale = Scale::Kept;
    chart.x.title += " (equal steps: equal factors)";
  }
  return chart;
}

// Values of one field over epochs, mean and deviation over the runs of a group.
Series curve(const RunGroup& group, double EpochMetrics::*field, double factor) {
  std::map<int64_t, std::vector<double>> values;
  for (const ReportRun* run : group.runs) {
    for (const EpochMetrics& line : run->metrics) {
      if (std::isfinite(line.*field)) values[line.epoch].push_back(factor * line.*field);
    }
  }
  Series out{.name = group.label(), .points = {}, .style = 0};
  for (const auto& [epoch, list] : values) {
    const comparisons::Summary summary = comparisons::summarize(list);
    out.points.push_back({.x = static_cast<double>(epoch),
                          .y = summary.mean,
                          .y_deviation = summary.deviation.value_or(0.0)});
  }
  return out;
}

// Groups whose curves stand in one chart, with what they share.
std::vector<std::pair<std::string, std::vector<RunGroup>>> parted(const Panel& panel) {
  if (panel.groups.size() <= kMostCurves) return {{"", panel.groups}};
  std::map<double, std::vector<RunGroup>> by_sparsity;
  for (const RunGroup& group : panel.groups) {
    if (group.first().sparsity_asked > 0.0)
      by_sparsity[group.first().sparsity_asked].push_back(group);
  }
  std::vector<std::pair<std::string, std::vector<RunGroup>>> out;
  if (by_sparsity.empty()) {
    for (size_t begin = 0; begin < panel.groups.size(); begin += kMostCurves) {
      const size_t end = std::min(begin + kMostCurves, panel.groups.size());
      out.emplace_back(fmt::format("{} to {} of {}", begin + 1, end, panel.groups.size()),
                       std::vector<RunGroup>(panel.groups.begin() + static_cast<ptrdiff_t>(begin),
                                             panel.groups.begin() + static_cast<ptrdiff_t>(end)));
    }
    return out;
  }
  for (auto& [sparsity, groups] : by_sparsity) {
    // Dense runs stand in every chart, as what pruned ones are compared with.
    for (const RunGroup& group : panel.groups) {
      if (group.first().sparsity_asked == 0.0) groups.push_back(group);
    }
    out.emplace_back(fmt::format("{:g} % removed", 100.0 * sparsity), std::move(groups));
  }
  return out;
}

// A time of each layer of the first run, mean and deviation over the runs that have it.
Series layer_times(const char* name,
                   size_t style,
                   const RunGroup& group,
                   std::optional<double> RunLayer::*time) {
  Series out{.name = name, .points = {}, .style = style};
  const std::vector<RunLayer>& rows = group.first().layers;
  for (size_t row = 0; row < rows.size(); ++row) {
    std::vector<double> values;
    for (const ReportRun* run : group.runs) {
      for (const RunLayer& layer : run->layers) {
        if (layer.name == rows[row].name && layer.*time) values.push_back(*(layer.*time));
      }
    }
    if (values.empty()) continue;
    const comparisons::Summary summary = comparisons::summarize(values);
    out.points.push_back({.x = summary.mean,
                          .y = static_cast<double>(row),
                          .x_deviation = summary.deviation.value_or(0.0)});
  }
  return out;
}

std::string with(const std::string& title, const std::string& part) {
  return part.empty() ? title : title + ", " + part;
}

}  // namespace

std::vector<NamedChart> Report::cost_charts() const {
  std::vector<NamedChart> out;
  for (const Panel& panel : panels_) {
    out.push_back(
        named(file_name("accuracy-sparsity", panel.title()), sparsity_chart(*this, panel)));
    const std::string note = spread_note(panel.groups, "Bars");
    // Rates of evaluations at different moments compare moments; in turn with the dense network
    // they compare networks.
    const auto speed = [](const RunGroup& group) { return group.summary("speedup").has_value(); };
    if (std::any_of(panel.groups.begin(), panel.groups.end(), speed)) {
      out.push_back(
          named(file_name("accuracy-speed", panel.title()),
                Chart{.title = "Accuracy against speed",
                      .subtitle = panel.title(),
                      .x = {.title = "speed-up over the dense network, timed in turn"},
                      .y = {.title = "test accuracy, %", .percent = true},
                      .series = series_of_points(*this, panel, {"speedup", 1.0}, kAccuracy),
                      .bands = false,
                      .front = Better::Right,
                      .note = note}));
    }
    out.push_back(
        named(file_name("accuracy-macs", panel.title()),
              Chart{.title = "Accuracy against executed work",
                    .subtitle = panel.title(),
                    .x = {.title = "executed MACs per image", .scale = Scale::Log},
                    .y = {.title = "test accuracy, %", .percent = true},
                    .series = series_of_points(*this, panel, {"macs_executed", 1.0}, kAccuracy),
                    .bands = false,
                    .front = Better::Left,
                    .note = note}));
  }
  return out;
}

std::vector<NamedChart> Report::density_charts() const {
  std::vector<NamedChart> out;
  for (const Panel& panel : panels_) {
    std::map<double, std::vector<const RunGroup*>> by_sparsity;
    for (const RunGroup& group : panel.groups) {
      if (group.first().method != "dense" && !group.first().layers.empty()) {
        by_sparsity[group.first().sparsity_asked].push_back(&group);
      }
    }
    for (const auto& [sparsity, groups] : by_sparsity) {
      RowChart chart{
          .title = "Density of each layer",
          .subtitle = with(panel.title(), fmt::format("{:g} % asked for", 100 * sparsity)),
          .x = {.title = "kept weights, %", .scale = Scale::Log},
          .rows = {},
          .series = {}};
      for (const RunLayer& layer : groups.front()->first().layers) chart.rows.push_back(layer.name);
      std::vector<RunGroup> shown;
      size_t emptied = 0;
      for (const RunGroup* group : groups) {
        shown.push_back(*group);
        Series line{.name = group->series(), .points = {}, .style = style(group->series())};
        for (size_t row = 0; row < chart.rows.size(); ++row) {
          std::vector<double> values;
          for (const ReportRun* run : group->runs) {
            for (const RunLayer& layer : run->layers) {
              if (layer.name == chart.rows[row]) values.push_back(100.0 * layer.density);
            }
          }
          if (values.empty()) continue;
          const comparisons::Summary summary = comparisons::summarize(values);
          if (summary.mean == 0.0) ++emptied;
          line.points.push_back({.x = summary.mean,
                                 .y = static_cast<double>(row),
                                 .x_deviation = summary.deviation.value_or(0.0)});
        }
        chart.series.push_back(std::move(line));
      }
      chart.note = spread_note(shown, "Bars");
      if (emptied > 0) {
        chart.subtitle += fmt::format("; {} emptied, not shown", emptied);
        chart.note += " Layers with nothing left have no marker.";
      }
      out.push_back(named(file_name("density", chart.subtitle), chart));
    }
  }
  return out;
}

std::vector<NamedChart> Report::training_charts() const {
  struct Field {
    const char* title;
    const char* unit;
    double EpochMetrics::*value;
    double factor;
    bool secondary;
  };
  static constexpr Field kFields[] = {
      {"Test accuracy", "test accuracy, %", &EpochMetrics::test_accuracy, 100.0, false},
      {"Training loss", "training loss", &EpochMetrics::train_loss, 1.0, false},
      {"Test loss", "test loss (cross-entropy)", &EpochMetrics::test_loss, 1.0, true},
      {"Sparsity", "removed weights, %", &EpochMetrics::sparsity, 100.0, true},
      {"Learning rate", "learning rate", &EpochMetrics::lr, 1.0, true}};
  std::vector<NamedChart> out;
  for (const Panel& panel : panels_) {
    for (const auto& [part, groups] : parted(panel)) {
      for (const Field& field : kFields) {
        Chart chart{
            .title = field.title,
            .subtitle = with(panel.title(), part),
            .x = {.title = "epoch"},
            .y = {.title = field.unit, .percent = field.value == &EpochMetrics::test_accuracy},
            .series = {},
            .note = spread_note(groups, "Bands")};
        for (const RunGroup& group : groups) {
          Series line = curve(group, field.value, field.factor);
          // Alone or in parts, a series keeps its colour; several of one series take what is free.
          line.style = part.empty() ? chart.series.size() : style(group.series());
          if (!line.points.empty()) chart.series.push_back(std::move(line));
        }
        if (chart.series.empty()) continue;
        out.push_back(named(file_name(field.title, chart.subtitle), chart, field.secondary));
      }
    }
  }
  return out;
}

std::vector<NamedChart> Report::timing_charts() const {
  std::vector<NamedChart> out;
  for (const Panel& panel : panels_) {
    for (const RunGroup& group : panel.groups) {
      const ReportRun& run = group.first();
      if (run.timing.empty()) continue;
      RowChart chart{.title = "Time of each layer: " + group.label(),
                     .subtitle = panel.title() + ", " + run.timing,
                     .x = {.title = "milliseconds"},
                     .rows = {},
                     .series = {},
                     .bars = true,
                     .note = "Each network timed once, after its training. "};
      for (const RunLayer& layer : run.layers) chart.rows.push_back(layer.name);
      chart.series = {layer_times("dense kernel", 6, group, &RunLayer::milliseconds_dense),
                      layer_times("kernel that runs", 0, group, &RunLayer::milliseconds)};
      chart.note += spread_note({group}, "Bars");
      out.push_back(named(file_name("milliseconds", panel.title() + "-" + group.label()), chart));
    }
  }
  return out;
}

}  // namespace espalier::experiments::report
